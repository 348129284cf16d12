// SPDX-License-Identifier: Apache-2.0

package page

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// With a thousand forwards, all of which have traffic, the page stays quick: an
// update takes a fraction of the time until the next, rows stay the same elements,
// and what is compressed is small.
func TestPageWithAThousandForwards(t *testing.T) {
	const forwards, first = 1000, 20000
	s := newScene(t)
	others := len(s.xfwd.List())
	var file strings.Builder
	file.WriteString("apiVersion: xfwd/v1\nforwards:\n")
	for i := range forwards {
		fmt.Fprintf(&file, "  - {name: service-%d, frontend: %d/udp, backends: [30053, '%s:8080']}\n", i, first+i, s.Servers[i%3].Addr.V4)
	}
	path := filepath.Join(t.TempDir(), "forwards.yaml")
	if err := os.WriteFile(path, []byte(file.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	s.xfwd.Do("apply", "-f", path)
	b := s.look(t, desktop)
	b.until(`%s.length === %d`, shownRows, others+forwards)
	go s.visitAll(t, first, forwards)
	value[bool](b, `(window.bodies = new Set(document.querySelectorAll("#forwards-table > tbody")), true)`)
	value[bool](b, `(document.querySelector('[data-sort="inPackets"] button').click(), true)`)
	b.until(`document.querySelector("#overview .in .more").textContent !== "0 packets/s"`)
	value[bool](b, `(performance.clearMeasures("update"), true)`)
	b.until(`performance.getEntriesByName("update").length >= 8`)
	took := value[[]float64](b, `performance.getEntriesByName("update").map((entry) => entry.duration)`)
	slices.Sort(took)
	if median := took[len(took)/2]; median > 200 {
		t.Errorf("an update takes %.0f ms", median)
	}
	t.Logf("updates take %.0f ms", took)
	if strangers := value[int](b, `[...document.querySelectorAll("#forwards-table > tbody")].filter((body) => !bodies.has(body)).length`); strangers != 0 {
		t.Errorf("%d rows were made anew", strangers)
	}
	began := time.Now()
	value[bool](b, `(document.querySelector("#filter").value = "service-77", document.querySelector("#filter").dispatchEvent(new Event("input")), true)`)
	b.until(`%s.length === 11`, shownRows)
	if elapsed := time.Since(began); elapsed > 3*time.Second {
		t.Errorf("the filter takes %v", elapsed)
	}
	s.serving.Header.Set("Accept-Encoding", "gzip")
	if answer := s.serving.MustGet("/api/v1/state"); len(answer.Body) > 100_000 {
		t.Errorf("one look is %d bytes", len(answer.Body))
	} else {
		t.Logf("one look is %d bytes", len(answer.Body))
	}
}

// visitAll sends a few datagrams to each of some ports, again and again.
func (s *scene) visitAll(t *testing.T, first, count int) {
	conn := s.Client.ListenUDP(":0")
	for t.Context().Err() == nil {
		for i := range count {
			for range 1 + i%3 {
				conn.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.HostAddr.V4, uint16(first+i))))
			}
		}
		pause(t.Context(), 300*time.Millisecond)
	}
}
