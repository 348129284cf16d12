// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/internal/ctl"
	xfwd "github.com/xfwd/xfwd/internal/maps"
	"github.com/xfwd/xfwd/test/model"
)

// What forwards of a contest are made of: few, so that they meet.
var (
	contestFrontends = []string{
		"80", "80", "81", "53", "8080", "30080", "9000-9003", "9002", "10007", "1-65535",
	}
	contestTargets = []string{
		"30080", "30080", "30081", "8080", "second:30080", "pod:8080", "pod:8080", "besidePod:8080", "remote:8080", "remote:8080",
		"neighbour:8080", "unknown:8080", "nowhere:8080", "client:8080", "remote:80",
	}
)

// contestants are the machines that a contest names.
var contestants = map[string]machine{
	"client": client, "host": host, "second": second, "gateway": gateway, "neighbour": neighbour, "router": router,
	"pod": pod, "besidePod": besidePod, "remote": remote, "besideRemote": besideRemote, "unknown": unknown,
	"vip": vip, "nowhere": nowhere, "loopback": loopback,
}

// spellAny writes a frontend or a backend with an address, of either family, in
// place of a machine's name.
func (c *contest) spellAny(word string) string {
	name, _, named := strings.Cut(word, ":")
	if !named {
		return word
	}
	return spellAs(contestants[name], word, one(c.dice, bothFamilies...))
}

// changeForwards makes a change as the command does. One that is refused must
// change nothing.
func (c *contest) changeForwards() error {
	if err := c.wait(0); err != nil {
		return err
	}
	what, change, reset := c.someChange()
	existing := ctl.ExistingKeep
	if reset {
		existing, what = ctl.ExistingReset, what+" --existing reset"
	}
	c.note(noted("xfwd " + what))
	_, err := c.instance.Update(context.Background(), change, ctl.UpdateOptions{Existing: existing})
	refused := errors.Is(err, ctl.ErrConflict) || errors.Is(err, ctl.ErrNotFound) || errors.Is(err, ctl.ErrSyntax)
	if err != nil && !refused {
		return fmt.Errorf("xfwd %s: %w", what, err)
	}
	c.isolate(&everyTest)
	c.embody(&everyTest)
	if err := c.follow(reset, refused); err != nil {
		return fmt.Errorf("xfwd %s: %w", what, err)
	}
	// No time has passed.
	if err := c.wait(0); err != nil {
		return err
	}
	return c.look()
}

// someChange returns one, as words and as the command has it.
func (c *contest) someChange() (what string, change ctl.Change, reset bool) {
	have, err := c.instance.Forwards(context.Background())
	must(err)
	reset = c.dice.roll(4) == 0
	roll := c.dice.roll(10)
	if len(have) == 0 || roll < 3 && len(have) < 8 {
		what, change = c.someAddition()
		return what, change, false
	}
	f := one(c.dice, have...)
	ref := f.Frontend.String()
	if roll < 5 {
		return "del " + ref, ctl.Delete([]string{ref}, false), reset
	}
	edits := map[string]func(string, []string) (ctl.Change, error){
		"add": ctl.AddBackends, "del": ctl.DeleteBackends, "drain": ctl.DrainBackends, "set": ctl.SetBackends,
	}
	action := one(c.dice, "add", "del", "drain", "set", "set")
	var words []string
	if action == "add" {
		words = c.someBackends(f.Frontend.Ports.Len(), 1+c.dice.roll(2))
	} else {
		for range 1 + c.dice.roll(2) {
			if len(f.Backends) > 0 {
				words = append(words, one(c.dice, f.Backends...).Place())
			}
		}
		slices.Sort(words)
		words = slices.Compact(words)
		if action == "set" && c.dice.roll(2) == 0 {
			for i := range words {
				words[i] += fmt.Sprintf(",weight=%d", one(c.dice, 0, 1, 1, 2, 5))
			}
		}
	}
	if len(words) == 0 {
		what, change = c.someAddition()
		return what, change, false
	}
	change, err = edits[action](ref, words)
	if err != nil {
		change = func([]ctl.Forward) ([]ctl.Forward, error) { return nil, err }
	}
	return fmt.Sprintf("backend %s %s %s", action, ref, strings.Join(words, " ")), change, reset
}

// someAddition is a new forward.
func (c *contest) someAddition() (what string, change ctl.Change) {
	s := ctl.Spec{
		Frontend: one(c.dice, contestFrontends...),
		Balance:  string(one(c.dice, ctl.Balances()...)),
		Source:   string(one(c.dice, ctl.Sources()...)),
	}
	if c.dice.roll(3) == 0 {
		s.Frontend = c.spellAny(one(c.dice, "host", "second", "gateway", "vip", "loopback") + ":" + s.Frontend)
	}
	s.Frontend += one(c.dice, "", "/udp", "/tcp+udp", "/tcp+udp")
	if c.dice.roll(4) == 0 {
		s.Affinity = "10s"
		s.AffinityGroup = one(c.dice, "", "", "one", "other")
	}
	if c.dice.roll(4) == 0 {
		s.MSS = one(c.dice, "off", "700", "1400")
	}
	if c.dice.roll(4) == 0 {
		s.Devices = one(c.dice, []string{"eth0"}, []string{"eth1", "pod0"})
	}
	frontends, err := ctl.ParseFrontend(s.Frontend)
	must(err)
	s.Backends = c.someBackends(frontends[0].Ports.Len(), c.dice.roll(4))
	if c.dice.roll(3) == 0 {
		s.SourceAddresses = c.someSources(s.Backends)
	}
	forwards, err := s.Forwards(time.Now())
	if err != nil {
		change = func([]ctl.Forward) ([]ctl.Forward, error) { return nil, err }
	} else {
		change = ctl.Add(forwards, c.dice.roll(2) == 0)
	}
	return fmt.Sprintf("add %+v", s), change
}

// someSources are addresses of the host for the masqueraded clients of these backends.
func (c *contest) someSources(backends []string) []string {
	var words []string
	for _, word := range backends {
		b, err := ctl.ParseBackend(word)
		must(err)
		for _, m := range []machine{host, second, gateway} {
			if b.Address.IsValid() && c.dice.roll(2) == 0 {
				words = append(words, m.address(familyOfAddr(b.Address)).String())
			}
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// someBackends are those of a frontend with a number of ports.
func (c *contest) someBackends(ports, count int) []string {
	var words []string
	for range count {
		word := c.spellAny(one(c.dice, contestTargets...))
		if ports > 1 && ports < 100 && c.dice.roll(2) == 0 {
			last := strings.LastIndexByte(word, ':')
			var first int
			fmt.Sscan(word[last+1:], &first)
			word += fmt.Sprintf("-%d", first+ports-1)
		}
		if c.dice.roll(3) == 0 {
			word += fmt.Sprintf(",weight=%d", one(c.dice, 0, 2, 3))
		}
		words = append(words, word)
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// follow has the model do what the command has done: the forwards are those that
// it lists.
func (c *contest) follow(reset, refused bool) error {
	listed, err := c.instance.Forwards(context.Background())
	if err != nil {
		return err
	}
	kernel, slots, infos, err := c.kernelForwards()
	if err != nil {
		return err
	}
	// The command has read the rules of netfilter, of which there are none.
	settings, err := c.set.Settings()
	if err != nil {
		return err
	}
	c.model.Host.RuleMSS = [2]uint16{settings.MSS4, settings.MSS6}
	for _, f := range slices.Clone(c.model.Forwards) {
		if _, stays := kernel[f.ID]; !stays {
			c.model.Delete(f, reset)
		}
	}
	var published []uint32
	for id, k := range kernel {
		i := slices.IndexFunc(c.model.Forwards, func(f *model.Forward) bool { return f.ID == id })
		if i < 0 {
			i = len(c.model.Forwards)
			published = append(published, id)
			c.model.Forwards = append(c.model.Forwards, &model.Forward{
				ID: k.ID, Protocol: k.Protocol, Address: k.Address, Ports: xfwd.PortRange{First: k.PortFirst, Last: k.PortLast},
				Devices: k.Devices, Balance: k.Balance, Affinity: k.Affinity, AffinityGroup: k.AffinityGroup,
				SourceAddresses: k.SourceAddresses,
			})
		}
		f := c.model.Forwards[i]
		f.MSS = k.Terms(settings.Epoch).MSS
		j := slices.IndexFunc(listed, func(l ctl.Forward) bool {
			return uint8(l.Frontend.Protocol) == k.Protocol && l.Frontend.Address == k.Address &&
				l.Frontend.Ports == ctl.PortRange{First: k.PortFirst, Last: k.PortLast} && slices.Equal(l.Frontend.Devices, k.Devices)
		})
		if j < 0 {
			return fmt.Errorf("forward %d is not listed: %+v", id, k)
		}
		had := slices.Clone(f.Backends)
		if err := c.followBackends(f, listed[j].Backends, slots, infos, reset); err != nil {
			return err
		}
		for _, b := range f.Backends {
			if !slices.Contains(had, b) {
				c.model.PublishBackend(f.Protocol, b)
			}
		}
	}
	for _, f := range c.model.Forwards {
		if slices.Contains(published, f.ID) {
			c.model.Publish(f)
		}
	}
	if len(listed) != len(kernel) {
		return fmt.Errorf("%d forwards are listed, %d are alive", len(listed), len(kernel))
	}
	if !refused {
		c.model.Changed()
	}
	if err := c.forgetOwnFlows(); err != nil {
		return err
	}
	if err := c.forgetRemoved(); err != nil {
		return err
	}
	return c.forgetOwnConnections(kernel)
}

// forgetRemoved: commands that look at all flows remove those that are over.
func (c *contest) forgetRemoved() error {
	there := make(map[xfwd.Tuple]bool)
	if err := c.set.Flows(func(f xfwd.Flow) bool { there[f.Client] = true; return true }); err != nil {
		return err
	}
	c.model.Forget(func(f *model.Flow) bool { return !there[tupleFrom(f.Client)] })
	return nil
}

// forgetOwnFlows: the command's questions have left by the devices, where the programs
// have noted them. Their ports are the kernel's choice, and of no frame of a contest.
func (c *contest) forgetOwnFlows() error {
	known := make(map[model.Tuple]bool)
	for _, f := range c.model.Flows() {
		known[f.Client] = true
	}
	isOwn := func(a netip.AddrPort) bool {
		return c.model.Host.Owns(a.Addr()) && a.Port() >= c.model.Host.Ephemeral.First && a.Port() < 60000 &&
			!slices.Contains(contestClientPorts, int(a.Port()))
	}
	var own []xfwd.Flow
	err := c.set.Flows(func(f xfwd.Flow) bool {
		// What it has asked a listener here is a conversation of that one, too.
		asked := isOwn(f.Client.Source) || isOwn(f.Client.Destination) && c.model.Host.Owns(f.Client.Source.Addr())
		if f.Forward == 0 && asked && !known[model.Tuple{Source: f.Client.Source, Destination: f.Client.Destination, Protocol: f.Client.Protocol}] {
			own = append(own, f)
		}
		return true
	})
	return errors.Join(err, c.set.DeleteFlows(own))
}

// flood does to affinities what a flood of forged packets does.
func (c *contest) flood() error {
	c.note(noted("a flood"))
	c.model.Flood()
	all, err := dump[bpf.XfwdAffinityKey, bpf.XfwdAffinity](c.maps.NewAffinities)
	for key := range all {
		err = errors.Join(err, c.maps.NewAffinities.Delete(key))
	}
	return err
}

// forgetOwnConnections: the command has asked whether somebody answers at a new
// target, which another forward may have sent to a backend of its own. The model
// knows nothing of the host's own connections; their client is no address, and so
// that of packets from the unspecified address, too.
func (c *contest) forgetOwnConnections(kernel map[uint32]xfwd.Forward) error {
	for _, f := range c.model.Forwards {
		for _, owner := range []uint32{f.ID, kernel[f.ID].AffinityGroupID | affinityOfGroup} {
			err := c.maps.Affinities.Delete(bpf.XfwdAffinityKey{Owner: owner})
			if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				return err
			}
		}
		c.model.ForgetClient(f, netip.IPv6Unspecified())
		var turn uint64
		if err := c.maps.Turns.Lookup(f.ID, &turn); err != nil {
			return err
		}
		f.Turn = uint32(turn)
	}
	return nil
}

// kernelForwards are the alive forwards by id, and all slots of backends.
func (c *contest) kernelForwards() (map[uint32]xfwd.Forward, []xfwd.Backend, map[uint32]xfwd.BackendInfo, error) {
	settings, err := c.set.Settings()
	if err != nil {
		return nil, nil, nil, err
	}
	all, err := c.set.Forwards()
	if err != nil {
		return nil, nil, nil, err
	}
	for id, k := range all {
		if !k.Alive(settings.Epoch) {
			delete(all, id)
		}
	}
	slots, err := c.set.Backends(lastBackend)
	if err != nil {
		return nil, nil, nil, err
	}
	infos, err := c.set.BackendInfos()
	return all, slots, infos, err
}

// followBackends gives a forward of the model those that are listed, in their
// order.
func (c *contest) followBackends(f *model.Forward, listed []ctl.Backend, slots []xfwd.Backend, infos map[uint32]xfwd.BackendInfo, reset bool) error {
	for _, b := range slices.Clone(f.Backends) {
		if !slices.ContainsFunc(listed, func(l ctl.Backend) bool { return l.Place() == b.Place }) {
			c.model.DeleteBackend(f, b, reset)
		}
	}
	var backends []*model.Backend
	for _, l := range listed {
		i := slices.IndexFunc(f.Backends, func(b *model.Backend) bool { return b.Place == l.Place() })
		var b *model.Backend
		if i >= 0 {
			b = f.Backends[i]
		} else {
			b = &model.Backend{Place: l.Place(), Address: l.Address, Ports: xfwd.PortRange(l.Ports)}
		}
		b.Weight, b.Draining = l.Weight, l.State == ctl.BackendDraining
		found := false
		for id, info := range infos {
			s := slots[id]
			if info.Forward == f.ID && s.State != xfwd.BackendGone && s.Address == l.Address && s.PortFirst == l.Ports.First && s.PortLast == l.Ports.Last {
				b.ID, b.Source, b.Masquerade, found = id, s.Source, s.Masquerade, true
			}
		}
		if !found {
			return fmt.Errorf("backend %s is in no slot", l)
		}
		backends = append(backends, b)
	}
	f.Backends = backends
	return nil
}
