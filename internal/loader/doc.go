// SPDX-License-Identifier: Apache-2.0

// Package loader puts the programs into the kernel and keeps them there: it
// finds the BPF file system, locks the pins, loads, attaches and detaches.
//
// Below the root (/sys/fs/bpf/xfwd) each network namespace has a directory:
//
//	net-4026531840/maps/flows_established
//	net-4026531840/programs/xfwd_ingress
//	net-4026531840/links/2-ingress
//	net-4026531840/links/2-native
//	net-4026531840/links/connect4
//	net-4026531840/notes/reserved-ports
//
// It appears and disappears by one rename, so that a command which is killed
// leaves a dataplane or none, and rubbish that the next one removes.
package loader
