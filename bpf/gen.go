// SPDX-License-Identifier: Apache-2.0

// Package bpf holds the programs that run in the kernel, as C and compiled,
// and the Go types of what they share with the control plane. Only
// internal/maps and internal/loader use it.
package bpf

// The compiler is pinned: another one may make code that an old kernel's
// verifier refuses. -mcpu=v3 (32-bit arithmetic and jumps) is understood by
// Linux 5.1 and newer.
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel,bpfeb -type reason -type flow_flag -type flow_sent -type port_flag -type address_flag -type balance -type own -type listener -type backend_state -type backend_source -type device_flag -type next_hop_way -type source -type check -type check_kind -type health -type flow_table -type mss Xfwd xfwd.c -- -O2 -g -Wall -Wextra -Werror -mcpu=v3

// Object returns the compiled programs, from which a build can be told.
func Object() []byte { return _XfwdBytes }
