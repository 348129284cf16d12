// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"strconv"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/internal/maps"
)

// reserve writes the list of reserved ports, as an administrator does.
func reserve(t *testing.T, d *Dataplane, list string) {
	t.Helper()
	inNamespace(t, d, func() error { return writeSysctl(reservedPorts, list) })
}

func mustBeReserved(t *testing.T, d *Dataplane, want string) {
	t.Helper()
	inNamespace(t, d, func() error {
		got, err := readSysctl(reservedPorts, reservedPortsSize)
		if got != want {
			t.Errorf("reserved ports are %q, want %q", got, want)
		}
		return err
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPortsAreReservedAndReleased(t *testing.T) {
	for _, test := range []struct {
		name                    string
		before, during, between string // between, if any, is written by another meanwhile
		after                   string
	}{
		{name: "nothing there", during: "10000-29999"},
		{name: "beside", before: "80,8080", during: "80,8080,10000-29999", after: "80,8080"},
		{name: "within", before: "12000,13000-13005", during: "10000-29999", after: "12000,13000-13005"},
		{name: "all of it and more", before: "9000-30000", during: "9000-30000", after: "9000-30000"},
		{name: "added meanwhile", before: "80", during: "80,10000-29999", between: "80,81,10000-29999", after: "80-81"},
		{name: "written anew meanwhile", before: "80", during: "80,10000-29999", between: "12000", after: "12000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			loaded(t, func(s *Session, d *Dataplane) {
				reserve(t, d, test.before)
				for range 2 {
					must(t, d.ReservePorts([]maps.PortRange{d.Settings.Masquerade}))
					mustBeReserved(t, d, test.during)
				}
				if test.between != "" {
					reserve(t, d, test.between)
				}
				for range 2 {
					must(t, d.ReleasePorts())
					mustBeReserved(t, d, test.after)
				}
				must(t, d.ReservePorts([]maps.PortRange{d.Settings.Masquerade}))
				must(t, s.Unload())
				mustBeReserved(t, d, test.after)
			})
		})
	}
}

func TestReservingAgainTakesBackWhatAnotherHasTaken(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		must(t, d.ReservePorts([]maps.PortRange{d.Settings.Masquerade}))
		reserve(t, d, "20000")
		must(t, d.ReservePorts([]maps.PortRange{d.Settings.Masquerade}))
		mustBeReserved(t, d, "10000-29999")
		must(t, d.ReleasePorts())
		mustBeReserved(t, d, "20000")
	})
}

func TestAnotherRangeIsReservedInsteadOfTheFirst(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		reserve(t, d, "15000")
		must(t, d.ReservePorts([]maps.PortRange{d.Settings.Masquerade}))
		d.Settings.Masquerade = maps.PortRange{First: 14999, Last: 15001}
		must(t, d.ReservePorts([]maps.PortRange{d.Settings.Masquerade}))
		mustBeReserved(t, d, "14999-15001")
		must(t, d.ReleasePorts())
		mustBeReserved(t, d, "15000")
	})
}

// A command may be killed after it has written its note and before the sysctl, or
// after it has restored that and before it has removed the note.
func TestANoteAloneReservesNothing(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		reserve(t, d, "80")
		must(t, d.notes().write(reservedNote, "10000-29999"))
		must(t, d.ReservePorts([]maps.PortRange{d.Settings.Masquerade}))
		mustBeReserved(t, d, "80,10000-29999")
		must(t, d.ReleasePorts())
		must(t, d.notes().write(reservedNote, "10000-29999"))
		must(t, d.ReleasePorts())
		mustBeReserved(t, d, "80")
	})
}

func TestFewerPortsAreReservedThanBefore(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		reserve(t, d, "80")
		published := maps.PortRange{First: 40000, Last: 40010}
		must(t, d.ReservePorts([]maps.PortRange{d.Settings.Masquerade, published}))
		mustBeReserved(t, d, "80,10000-29999,40000-40010")
		must(t, d.ReservePorts([]maps.PortRange{published}))
		mustBeReserved(t, d, "80,40000-40010")
		must(t, d.ReservePorts(nil))
		mustBeReserved(t, d, "80")
	})
}

func TestALongListOfReservedPortsIsKept(t *testing.T) {
	var list []string
	for port := 31000; port < 51000; port += 2 {
		list = append(list, strconv.Itoa(port))
	}
	long := strings.Join(list, ",")
	loaded(t, func(_ *Session, d *Dataplane) {
		reserve(t, d, long)
		mustBeReserved(t, d, long)
		must(t, d.ReservePorts([]maps.PortRange{d.Settings.Masquerade}))
		mustBeReserved(t, d, "10000-29999,"+long)
		must(t, d.ReleasePorts())
		mustBeReserved(t, d, long)
	})
}
