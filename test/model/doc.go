// SPDX-License-Identifier: Apache-2.0

// Package model says in plain Go what the programs do with a packet. It is written
// to be read and to be compared with: the tests of test/packet give the same
// packets, the same time and the same changes of the forwards to the model and to
// the programs in the kernel, and want the same frames, verdicts and counters.
//
// A flow is one thing here, where the programs have two entries of it in one of two
// maps. What the programs leave to chance, a source port or the backend of a new
// flow, the model is told; it says whether that was one of those possible.
//
// Of the host's sockets it knows those that are connected, and of netfilter nothing.
// Not modelled is what a full flow table forgets, and the hooks of the host's own
// connections.
package model
