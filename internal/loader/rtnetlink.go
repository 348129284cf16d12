// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// asker asks rtnetlink of one network namespace. It keeps one socket for all of its
// questions, sends many questions at once, and can end a dump early, which the netlink
// package cannot. It is not safe for concurrent use.
type asker struct {
	fd     int
	seq    uint32
	buffer []byte
}

// counted is what askers have asked of the kernel; tests compare it.
var counted struct {
	// questions are requests, a dump is one. routes are the routes that were read.
	questions, routes atomic.Uint64
}

const (
	// askerBuffer is the room for answers. The kernel writes at most 32 KiB of a dump at once.
	askerBuffer = 64 << 10
	// askerQueue is the room in the kernel for the answers to one batch.
	askerQueue = 4 << 20
	// skipStatistics is RTEXT_FILTER_SKIP_STATS of <linux/rtnetlink.h>.
	skipStatistics = 1 << 3
	// batchSize is how many questions are sent at once: the answers, of up to 8 KiB each, fit into
	// the queue that the kernel has by itself.
	batchSize = 16
)

// newAsker opens a socket in the namespace of the calling thread.
func newAsker() (*asker, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, explain("ask the kernel for its devices", err)
	}
	// Filters of dumps work with strict checks only (Linux 4.20).
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	// Only CAP_NET_ADMIN may go beyond the limit of the host.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, askerQueue) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, askerQueue)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, explain("ask the kernel for its devices", err)
	}
	return &asker{fd: fd, buffer: make([]byte, askerBuffer)}, nil
}

func (a *asker) close() { unix.Close(a.fd) }

// withAsker calls f with an asker of the calling thread's namespace.
func withAsker(f func(*asker) error) error {
	a, err := newAsker()
	if err != nil {
		return err
	}
	defer a.close()
	return f(a)
}

// appendRequest appends a message of a type with a body to a batch.
func (a *asker) appendRequest(batch []byte, kind uint16, flags uint16, body []byte) []byte {
	a.seq++
	native := binary.NativeEndian
	batch = native.AppendUint32(batch, uint32(unix.SizeofNlMsghdr+len(body)))
	batch = native.AppendUint16(batch, kind)
	batch = native.AppendUint16(batch, unix.NLM_F_REQUEST|flags)
	batch = native.AppendUint32(batch, a.seq)
	batch = native.AppendUint32(batch, 0)
	batch = append(batch, body...)
	for len(batch)%unix.NLMSG_ALIGNTO != 0 {
		batch = append(batch, 0)
	}
	return batch
}

// message is one message of the kernel.
type message struct {
	kind, flags uint16
	seq         uint32
	data        []byte
}

// receive calls f for the messages of one datagram of the kernel. Their data is good
// until the next one.
func (a *asker) receive(f func(message) error) error {
	var n int
	err := ignoringEINTR(func() (err error) {
		n, _, err = unix.Recvfrom(a.fd, a.buffer, 0)
		return err
	})
	if err != nil {
		return err
	}
	native := binary.NativeEndian
	for b := a.buffer[:n]; len(b) >= unix.SizeofNlMsghdr; {
		size := int(native.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return errors.New("the kernel's answer is cut off")
		}
		m := message{native.Uint16(b[4:]), native.Uint16(b[6:]), native.Uint32(b[8:]), b[unix.SizeofNlMsghdr:size]}
		if err := f(m); err != nil {
			return err
		}
		b = b[min(len(b), (size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
	}
	return nil
}

// failure is the error that a message of type NLMSG_ERROR or NLMSG_DONE tells, or nil.
func (m message) failure() error {
	if len(m.data) < 4 {
		return nil
	}
	if errno := int32(binary.NativeEndian.Uint32(m.data)); errno < 0 {
		return unix.Errno(-errno)
	}
	return nil
}

// askEach asks for one thing by each of these bodies. f is called with the place of a
// body and its answer, or the error that the kernel has instead.
func (a *asker) askEach(kind uint16, bodies [][]byte, f func(i int, data []byte, err error)) error {
	for done := 0; done < len(bodies); {
		count := min(batchSize, len(bodies)-done)
		first := a.seq + 1
		var batch []byte
		for _, body := range bodies[done : done+count] {
			batch = a.appendRequest(batch, kind, 0, body)
		}
		counted.questions.Add(uint64(count))
		if err := unix.Sendto(a.fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
		for left := count; left > 0; {
			err := a.receive(func(m message) error {
				i := int(m.seq - first)
				if i < 0 || i >= count {
					return nil
				}
				left--
				if m.kind == unix.NLMSG_ERROR {
					f(done+i, nil, m.failure())
				} else {
					f(done+i, m.data, nil)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		done += count
	}
	return nil
}

// errEnough ends a dump early.
var errEnough = errors.New("enough")

// dump calls f for each message of a dump until it returns false. It returns
// netlink.ErrDumpInterrupted if what is listed has changed meanwhile. An asker whose dump
// was ended early is of no more use.
func (a *asker) dump(kind uint16, body []byte, f func(kind uint16, data []byte) bool) error {
	counted.questions.Add(1)
	request := a.appendRequest(nil, kind, unix.NLM_F_DUMP, body)
	if err := unix.Sendto(a.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	done, interrupted := false, false
	for !done {
		err := a.receive(func(m message) error {
			if m.seq != a.seq {
				return nil
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch m.kind {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				done = true
				return m.failure()
			}
			if !f(m.kind, m.data) {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if interrupted {
		return netlink.ErrDumpInterrupted
	}
	return nil
}

// dumpOf is dump with a socket of its own, which may end early.
func dumpOf(what string, kind uint16, body []byte, f func(kind uint16, data []byte) bool) error {
	return withAsker(func(a *asker) error {
		err := a.dump(kind, body, f)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return fmt.Errorf("list the %s: %w", what, err)
		}
		return err
	})
}

// attributes calls f for each attribute of a message behind its fixed part.
func attributes(data []byte, f func(kind uint16, value []byte)) {
	native := binary.NativeEndian
	for len(data) >= unix.SizeofRtAttr {
		size := int(native.Uint16(data))
		if size < unix.SizeofRtAttr || size > len(data) {
			return
		}
		f(native.Uint16(data[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), data[unix.SizeofRtAttr:size])
		data = data[min(len(data), (size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1)):]
	}
}

// appendAttribute appends an attribute to the body of a message.
func appendAttribute(body []byte, kind uint16, value []byte) []byte {
	native := binary.NativeEndian
	body = native.AppendUint16(body, uint16(unix.SizeofRtAttr+len(value)))
	body = native.AppendUint16(body, kind)
	body = append(body, value...)
	for len(body)%unix.RTA_ALIGNTO != 0 {
		body = append(body, 0)
	}
	return body
}

// linkBody is the body of RTM_GETLINK for a device, by ifindex, of a namespace by the number
// that this one knows it by; a negative one is this one.
func linkBody(ifindex, namespace int) []byte {
	body := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(body[4:], uint32(ifindex))
	// Counters are half of the answer, and nobody here reads them.
	body = appendAttribute(body, unix.IFLA_EXT_MASK, uint32Bytes(skipStatistics))
	if namespace >= 0 {
		body = appendAttribute(body, unix.IFLA_TARGET_NETNSID, uint32Bytes(namespace))
	}
	return body
}

// linksOf asks for devices of this namespace, by ifindex. Those that are not there are missing.
func (a *asker) linksOf(ifindexes []int) (map[int]netlink.Link, error) {
	bodies := make([][]byte, len(ifindexes))
	for i, ifindex := range ifindexes {
		bodies[i] = linkBody(ifindex, -1)
	}
	links := make(map[int]netlink.Link, len(ifindexes))
	var failed error
	err := a.askEach(unix.RTM_GETLINK, bodies, func(i int, data []byte, err error) {
		if err == nil {
			// What it returns refers to the data.
			links[ifindexes[i]], err = netlink.LinkDeserialize(nil, bytes.Clone(data))
		}
		if err != nil && !errors.Is(err, unix.ENODEV) {
			failed = err
		}
	})
	return links, errors.Join(err, failed)
}

// parseAddress reads a message about an address.
func parseAddress(data []byte) (netlink.Addr, error) {
	var a netlink.Addr
	if len(data) < unix.SizeofIfAddrmsg {
		return a, errors.New("the kernel's answer is cut off")
	}
	native := binary.NativeEndian
	length := int(data[1])
	a.Flags, a.Scope, a.LinkIndex = int(data[2]), int(data[3]), int(native.Uint32(data[4:]))
	var local, address net.IP
	attributes(data[unix.SizeofIfAddrmsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.IFA_LOCAL:
			local = bytes.Clone(value)
		case unix.IFA_ADDRESS:
			address = bytes.Clone(value)
		case unix.IFA_FLAGS:
			a.Flags = int(native.Uint32(value))
		case unix.IFA_CACHEINFO:
			a.PreferedLft, a.ValidLft = int(native.Uint32(value)), int(native.Uint32(value[4:]))
		}
	})
	if local == nil {
		local = address
	} else if address != nil && !local.Equal(address) {
		// The other end of a point-to-point link, whose prefix it is.
		a.Peer = &net.IPNet{IP: address, Mask: net.CIDRMask(length, 8*len(address))}
		length = 8 * len(local)
	}
	if local != nil {
		a.IPNet = &net.IPNet{IP: local, Mask: net.CIDRMask(length, 8*len(local))}
	}
	return a, nil
}

// parseRoute reads what we use of a message about a route.
func parseRoute(data []byte) (netlink.Route, error) {
	if len(data) < unix.SizeofRtMsg {
		return netlink.Route{}, errors.New("the kernel's answer is cut off")
	}
	native := binary.NativeEndian
	r := netlink.Route{Family: int(data[0]), Tos: int(data[3]), Table: int(data[4]), Protocol: netlink.RouteProtocol(data[5]), Type: int(data[7]), Flags: int(native.Uint32(data[8:]))}
	length := int(data[1])
	attributes(data[unix.SizeofRtMsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.RTA_DST:
			r.Dst = &net.IPNet{IP: bytes.Clone(value), Mask: net.CIDRMask(length, 8*len(value))}
		case unix.RTA_OIF:
			r.LinkIndex = int(native.Uint32(value))
		case unix.RTA_GATEWAY:
			r.Gw = bytes.Clone(value)
		case unix.RTA_VIA:
			r.Via = parseVia(value)
		case unix.RTA_PREFSRC:
			r.Src = bytes.Clone(value)
		case unix.RTA_PRIORITY:
			r.Priority = int(native.Uint32(value))
		case unix.RTA_TABLE:
			r.Table = int(native.Uint32(value))
		case unix.RTA_MULTIPATH:
			r.MultiPath = parseHops(value)
		case unix.RTA_METRICS:
			attributes(value, func(kind uint16, value []byte) {
				switch {
				case len(value) < 4:
				case kind == unix.RTAX_MTU:
					r.MTU = int(native.Uint32(value))
				case kind == unix.RTAX_LOCK:
					r.MTULock = native.Uint32(value)&(1<<unix.RTAX_MTU) != 0
				}
			})
		}
	})
	return r, nil
}

// parseVia reads a gateway that may be of another family than its route.
func parseVia(value []byte) netlink.Destination {
	if len(value) < 2 {
		return nil
	}
	return &netlink.Via{AddrFamily: int(binary.NativeEndian.Uint16(value)), Addr: bytes.Clone(value[2:])}
}

// parseHops reads the next hops of a route that has several.
func parseHops(value []byte) []*netlink.NexthopInfo {
	var hops []*netlink.NexthopInfo
	native := binary.NativeEndian
	for len(value) >= unix.SizeofRtNexthop {
		size := int(native.Uint16(value))
		if size < unix.SizeofRtNexthop || size > len(value) {
			break
		}
		hop := &netlink.NexthopInfo{LinkIndex: int(native.Uint32(value[4:]))}
		attributes(value[unix.SizeofRtNexthop:size], func(kind uint16, value []byte) {
			switch kind {
			case unix.RTA_GATEWAY:
				hop.Gw = bytes.Clone(value)
			case unix.RTA_VIA:
				hop.Via = parseVia(value)
			}
		})
		hops = append(hops, hop)
		value = value[min(len(value), (size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1)):]
	}
	return hops
}

func uint32Bytes(n int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }

// putFlags sets the flags of the fixed part of a message about routes.
func putFlags(body []byte, flags uint32) { binary.NativeEndian.PutUint32(body[8:], flags) }
