// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
)

// A flow for every 64 KB of memory, within bounds. A flow takes
// some 400 bytes of the kernel's memory, so this is less than one percent.
const (
	memoryPerFlow   = 64 << 10
	fewestFlows     = 8 << 10
	mostFlows       = 256 << 10
	smallestMaximum = 16
	largestMaximum  = 16 << 20
)

// flowsFromMemory is how many flows the flow table is made for by default.
func flowsFromMemory() uint32 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return fewestFlows
	}
	return uint32(max(fewestFlows, min(mostFlows, info.Totalram*uint64(info.Unit)/memoryPerFlow)))
}

// flowEntries is the size of an LRU map that shall hold that many flows. Two
// entries a flow; and the LRU hands free entries to the processors in batches
// and evicts before the last is used, so there is a quarter more and room for
// the batches of all processors (LOCAL_FREE_TARGET, 128, in the kernel's
// bpf_lru_list.c).
func flowEntries(flows uint32) uint32 {
	return flows*2 + flows/2 + uint32(2*128*possibleCPUs())
}

func possibleCPUs() int {
	n, err := ebpf.PossibleCPU()
	if err != nil {
		return 1
	}
	return n
}

// transitoryShare: half-open flows get a quarter of the room of established
// ones, but never little, for UDP that is not answered lives there too.
const (
	transitoryShare  = 4
	fewestTransitory = 4 << 10
)

// checkMaxFlows checks what the user asked for.
func checkMaxFlows(flows uint32) error {
	if flows < smallestMaximum || flows > largestMaximum {
		return errorf(ErrBadMaxFlows, "--max-flows %d is out of range; choose from %d to %d", flows, smallestMaximum, largestMaximum)
	}
	return nil
}

// collection returns what the programs and maps for a namespace are made from.
func collection(namespace *Namespace, maxFlows uint32) (*ebpf.CollectionSpec, error) {
	spec, err := bpf.LoadXfwd()
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	spec.Maps["flows_established"].MaxEntries = flowEntries(maxFlows)
	spec.Maps["flows_transitory"].MaxEntries = flowEntries(min(maxFlows, max(maxFlows/transitoryShare, fewestTransitory)))
	coarse := features.HaveProgramHelper(ebpf.SchedCLS, asm.FnKtimeGetCoarseNs) == nil
	if err := spec.Variables["coarse_clock"].Set(coarse); err != nil {
		return nil, err
	}
	tellsMTU := features.HaveProgramHelper(ebpf.SchedCLS, asm.FnCheckMtu) == nil
	if err := spec.Variables["device_mtu_helper"].Set(tellsMTU); err != nil {
		return nil, err
	}
	if err := spec.Variables["netns_cookie"].Set(namespace.cookie); err != nil {
		return nil, err
	}
	if err := spec.Variables["served_mark"].Set(servedMark(namespace)); err != nil {
		return nil, err
	}
	return spec, nil
}

// servedMark is even, not zero, and another one for each namespace of a few.
func servedMark(namespace *Namespace) uint16 {
	return uint16(2 + 2*(namespace.cookie%math.MaxInt16))
}

// build identifies the programs of this command.
var build = sync.OnceValue(func() uint64 {
	sum := sha256.Sum256(bpf.Object())
	return binary.NativeEndian.Uint64(sum[:])
})

// liftMemoryLimit must come before anything is made in the kernel: before Linux
// 5.11 that counts against the limit of locked memory.
func liftMemoryLimit() error {
	err := rlimit.RemoveMemlock()
	if errors.Is(err, unix.EPERM) {
		return unsupportedf("lift the limit of locked memory: permission denied: run xfwd as root with CAP_SYS_RESOURCE, or after `ulimit -l unlimited`")
	}
	return explain("lift the limit of locked memory", err)
}

// KernelRelease is what `uname -r` prints.
func KernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}
