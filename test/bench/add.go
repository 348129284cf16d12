// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/test/lab"
)

// latency is how long `xfwd add` takes, as a whole process.
type latency struct {
	Title string `json:"title"`
	// Milliseconds from fork to end.
	Milliseconds spread `json:"milliseconds"`
	// CPU is the processor time of the process, also in milliseconds: much less
	// than the time that passed means that it waited, for the kernel or for a
	// processor.
	CPU   spread  `json:"cpuMilliseconds"`
	Limit float64 `json:"limitMilliseconds"`
}

// addRuns is how often each latency is taken.
const addRuns = 20

// addLatencies times `xfwd add` in a namespace like that of the local
// topology.
func addLatencies(ctx context.Context, say *progress) (latencies []latency, err error) {
	err = within(func(tb lab.TB) {
		x := lab.New(tb).Direct().Host.XFWD()
		var loading, loaded []lab.Result
		for range addRuns {
			if ctx.Err() != nil {
				tb.Fatalf("stopped: %v", context.Cause(ctx))
			}
			say.step("xfwd add, run %d of %d", len(loaded)+1, addRuns)
			loading = append(loading, x.Do("add", "80", "30080"))
			loaded = append(loaded, x.Do("add", "81", "30080"))
			x.Do("unload")
		}
		latencies = []latency{
			newLatency("xfwd add, dataplane not loaded", loading, 500),
			newLatency("xfwd add, dataplane loaded", loaded, 30),
		}
	})
	if err != nil {
		return latencies, err
	}
	for _, measure := range []func(context.Context, *progress) ([]latency, error){amongDevices, amongForwards, amongRoutes} {
		more, err := measure(ctx, say)
		if err != nil {
			return latencies, err
		}
		latencies = append(latencies, more...)
	}
	return latencies, nil
}

// What a large host has.
const (
	manyDevices  = 200
	manyForwards = 15_000
	manyRoutes   = 100_000
	// crowdedRuns is how often each latency is taken there.
	crowdedRuns = 5
	// followed is how many devices come and go, and how many addresses.
	followed = 20
	// crowdSize is how many devices come and go at once.
	crowdSize = 20
)

// amongDevices times commands beside many devices, and what serve takes for one that
// comes and goes.
func amongDevices(ctx context.Context, say *progress) (latencies []latency, err error) {
	err = within(func(tb lab.TB) {
		l := lab.New(tb)
		lan := l.Direct()
		for i := range manyDevices {
			l.Veth(lan.Host, fmt.Sprintf("h%d", i), lan.Client, fmt.Sprintf("c%d", i), 1500)
		}
		x := lan.Host.XFWD()
		var loading, loaded []lab.Result
		for i := range crowdedRuns {
			stopIfDone(ctx, tb)
			say.step("xfwd add beside %d devices, run %d of %d", manyDevices, i+1, crowdedRuns)
			x.Do("unload")
			loading = append(loading, x.Do("add", "80", "30080"))
			loaded = append(loaded, x.Do("add", "81", "30080"))
		}
		latencies = append(latencies,
			newLatency(fmt.Sprintf("xfwd add, not loaded, %d devices", manyDevices), loading, 1000),
			newLatency(fmt.Sprintf("xfwd add, loaded, %d devices", manyDevices), loaded, 100))
		say.step("xfwd serve beside %d devices", manyDevices)
		s := x.Serve()
		latencies = append(latencies, serveLatency(tb, s, fmt.Sprintf("xfwd serve, a device that comes and goes, %d devices", manyDevices), 40, func(i int) {
			l.Veth(lan.Host, "late", lan.Client, "late", 1500)
			time.Sleep(eventPause)
			lan.Host.DeleteLink("late")
		}))
		crowd := func(i int) string { return fmt.Sprintf("crowd%d", i) }
		latencies = append(latencies, serveLatency(tb, s, fmt.Sprintf("xfwd serve, %d devices that come and go at once, %d devices", crowdSize, manyDevices), 400, func(int) {
			for i := range crowdSize {
				l.Veth(lan.Host, crowd(i), lan.Client, crowd(i), 1500)
			}
			time.Sleep(eventPause)
			for i := range crowdSize {
				lan.Host.DeleteLink(crowd(i))
			}
		}))
	})
	return latencies, err
}

// amongForwards times commands beside many forwards, half of them to other machines.
func amongForwards(ctx context.Context, say *progress) (latencies []latency, err error) {
	err = within(func(tb lab.TB) {
		lan := lab.New(tb).Direct()
		x := lan.Host.XFWD()
		file, err := os.CreateTemp("", "xfwd-bench-*.yaml")
		if err != nil {
			tb.Fatalf("%v", err)
		}
		tb.Cleanup(func() { os.Remove(file.Name()) })
		fmt.Fprint(file, "apiVersion: xfwd/v1\nforwards:\n")
		for i := range manyForwards {
			backend := "30080"
			if i%2 == 1 {
				backend = fmt.Sprintf("%s:80", netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}))
			}
			fmt.Fprintf(file, "  - {frontend: %d, backends: [%q]}\n", 10_000+i, backend)
		}
		if err := file.Close(); err != nil {
			tb.Fatalf("%v", err)
		}
		say.step("xfwd apply of %d forwards", manyForwards)
		applied := []lab.Result{x.Do("apply", "-f", file.Name())}
		var added, listed []lab.Result
		for i := range crowdedRuns {
			stopIfDone(ctx, tb)
			say.step("xfwd add beside %d forwards, run %d of %d", manyForwards, i+1, crowdedRuns)
			added = append(added, x.Do("add", fmt.Sprint(1000+i), "30080"))
			listed = append(listed, x.Do("list"))
		}
		latencies = append(latencies,
			newLatency(fmt.Sprintf("xfwd apply of %d forwards", manyForwards), applied, 2500),
			newLatency(fmt.Sprintf("xfwd add, %d forwards", manyForwards), added, 600),
			newLatency(fmt.Sprintf("xfwd list, %d forwards", manyForwards), listed, 500))
	})
	return latencies, err
}

// amongRoutes times commands beside many routes, and what serve takes for an address that
// comes and goes.
func amongRoutes(ctx context.Context, say *progress) (latencies []latency, err error) {
	err = within(func(tb lab.TB) {
		lan := lab.New(tb).Direct()
		file, err := os.CreateTemp("", "xfwd-bench-routes-*")
		if err != nil {
			tb.Fatalf("%v", err)
		}
		tb.Cleanup(func() { os.Remove(file.Name()) })
		for i := range manyRoutes {
			fmt.Fprintf(file, "route add 10.%d.%d.%d/32 via %s\n", i>>16, i>>8&255, i&255, lan.ClientAddr.V4)
		}
		if err := file.Close(); err != nil {
			tb.Fatalf("%v", err)
		}
		say.step("%d routes", manyRoutes)
		lan.Host.Run("ip", "-batch", file.Name())
		x := lan.Host.XFWD()
		x.Do("add", "80", "30080")
		var added []lab.Result
		for i := range crowdedRuns {
			stopIfDone(ctx, tb)
			added = append(added, x.Do("add", fmt.Sprint(1000+i), "30080"))
		}
		s := x.Serve()
		address := netip.MustParsePrefix("198.18.0.1/32")
		parsed, err := netlink.ParseAddr(address.String())
		if err != nil {
			tb.Fatalf("%v", err)
		}
		latencies = append(latencies,
			newLatency(fmt.Sprintf("xfwd add, %d routes", manyRoutes), added, 60),
			serveLatency(tb, s, fmt.Sprintf("xfwd serve, an address that comes and goes, %d routes", manyRoutes), 40, func(int) {
				lan.Host.Address("eth0", address)
				time.Sleep(eventPause)
				device, err := lan.Host.Links().LinkByName("eth0")
				if err == nil {
					err = lan.Host.Links().AddrDel(device, parsed)
				}
				if err != nil {
					tb.Fatalf("%v", err)
				}
			}))
	})
	return latencies, err
}

// eventPause keeps two events from being followed together.
const eventPause = 250 * time.Millisecond

// serveLatency is the processor time that serve takes for each of several events, less what
// it takes when nothing happens.
func serveLatency(tb lab.TB, s *lab.Serving, title string, limit float64, event func(i int)) latency {
	processor := func() float64 { return s.Metrics()["process_cpu_seconds_total"] * 1000 }
	// The first event after a command is a look at the whole host.
	event(0)
	time.Sleep(time.Second)
	begin, idle := time.Now(), processor()
	time.Sleep(5 * time.Second)
	idle = (processor() - idle) / time.Since(begin).Seconds()
	var costs []float64
	for i := range followed {
		begin, before := time.Now(), processor()
		event(i)
		time.Sleep(eventPause)
		costs = append(costs, processor()-before-idle*time.Since(begin).Seconds())
	}
	return latency{title, newSpread(costs), newSpread(costs), limit}
}

func stopIfDone(ctx context.Context, tb lab.TB) {
	if ctx.Err() != nil {
		tb.Fatalf("stopped: %v", context.Cause(ctx))
	}
}

func newLatency(title string, runs []lab.Result, limit float64) latency {
	var elapsed, cpu []float64
	for _, r := range runs {
		elapsed = append(elapsed, r.Elapsed.Seconds()*1000)
		cpu = append(cpu, r.CPU.Seconds()*1000)
	}
	return latency{title, newSpread(elapsed), newSpread(cpu), limit}
}

func latencySection(latencies []latency) section {
	s := section{title: "From start to end of the process", rows: [][]string{{"", "whole process", "CPU time", "shall not exceed"}}}
	for _, l := range latencies {
		s.rows = append(s.rows, []string{l.Title, milliseconds(l.Milliseconds), milliseconds(l.CPU), fmt.Sprintf("%.0f ms", l.Limit)})
	}
	return s
}

func milliseconds(s spread) string {
	return fmt.Sprintf("%.1f ms [%.1f–%.1f]", s.Median, s.Q1, s.Q3)
}
