// SPDX-License-Identifier: Apache-2.0

// Package ctl is the control plane: what a forward is, how users write one,
// how a wanted set of forwards becomes the smallest change of the kernel's
// state, and what is reported about it.
//
// The pure half (parsing, files, planning) knows no kernel. The other half is
// Instance, the dataplane of one network namespace, which is built from the
// packages loader (programs, pins, hooks) and maps (layout and byte order).
package ctl
