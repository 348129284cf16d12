// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/xfwd/xfwd/test/bench/load"

// workload is a kind of traffic with the size of one sample: about a quarter
// of a second of processor time on a machine of 2024.
type workload struct {
	kind load.Kind
	// title heads the column, unit is what the cost is given per.
	title, unit string
	units       int
}

var workloads = []workload{
	{load.Upload, "bulk TCP up", "MiB", 1024},
	{load.Download, "bulk TCP down", "MiB", 1024},
	{load.KeepAlive, "HTTP keep-alive", "request", 30_000},
	{load.Connection, "new connection", "connection", 6_000},
	{load.Datagram, "UDP packet", "packet", 100_000},
}

// perWire is how much smaller a sample of bulk TCP is where each packet fits the
// MTU, because it costs so much more.
const perWire = 8

// in is the workload as it is with the offloads of a variant.
func (w workload) in(v variant) workload {
	if v.offloads == offloadsOff && (w.kind == load.Upload || w.kind == load.Download) {
		w.units /= perWire
	}
	return w
}

// scaled is the workload with another size of its samples.
func (w workload) scaled(factor float64) workload {
	// Datagrams go in pairs.
	w.units = max(2, int(float64(w.units)*factor)&^1)
	return w
}
