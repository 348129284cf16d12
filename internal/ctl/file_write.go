// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Format returns a file of which ParseFile makes the same. Two forwards that
// differ in nothing but the protocol become one entry, and so do those of one name
// that differ in nothing but the address.
func (file File) Format() []byte {
	sorted := make([]Forward, len(file.Forwards))
	twins := map[frontendKey]Forward{}
	for i, f := range file.Forwards {
		sorted[i] = f.Canonical()
		twins[sorted[i].Frontend.key()] = sorted[i]
	}
	Sort(sorted)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s\n", keyAPIVersion, FileVersion)
	if len(file.XDP) > 0 {
		fmt.Fprintf(&b, "%s: %s\n", keyXDP, yamlList(file.XDP.Words()))
	}
	if len(sorted) == 0 {
		fmt.Fprintf(&b, "%s: []\n", keyForwards)
		return b.Bytes()
	}
	fmt.Fprintf(&b, "%s:\n", keyForwards)
	var entries []fileEntry
	named := map[string][]int{}
	for _, f := range sorted {
		tcp, udp := f.as(TCP), f.as(UDP)
		both := tcp.Equal(twins[tcp.Frontend.key()]) && udp.Equal(twins[udp.Frontend.key()])
		switch {
		case !both:
			addEntry(&entries, named, f, protocolSuffix(f.Frontend.Protocol))
		case f.Frontend.Protocol == TCP:
			addEntry(&entries, named, f, "/tcp+udp")
		}
	}
	for _, e := range entries {
		e.write(&b)
	}
	return b.Bytes()
}

// fileEntry is a canonical forward with the suffix that its frontend has for the
// protocol, and the other addresses that the same holds for.
type fileEntry struct {
	forward Forward
	suffix  string
	others  []netip.Addr
}

// addEntry adds a forward to the entries, to the one that has its name if it differs in
// the address alone. Named are the positions of those with a name.
func addEntry(entries *[]fileEntry, named map[string][]int, f Forward, suffix string) {
	address := f.Frontend.Address
	if f.Name != "" && address.IsValid() {
		for _, i := range named[f.Name] {
			e := &(*entries)[i]
			g := f
			g.Frontend.Address = e.forward.Frontend.Address
			if e.suffix == suffix && g.Equal(e.forward) {
				e.others = append(e.others, address)
				return
			}
		}
		named[f.Name] = append(named[f.Name], len(*entries))
	}
	*entries = append(*entries, fileEntry{forward: f, suffix: suffix})
}

// as returns the forward with another protocol.
func (f Forward) as(p Protocol) Forward {
	f.Frontend.Protocol = p
	return f
}

// protocolSuffix is what a frontend needs for its protocol; TCP needs nothing.
func protocolSuffix(p Protocol) string {
	if p == TCP {
		return ""
	}
	return "/" + p.String()
}

// listWidth is how long a list in one line may be, for the line to fit a terminal.
const listWidth = 64

// write writes an entry, without what has its default.
func (e fileEntry) write(b *bytes.Buffer) {
	f := e.forward
	bullet := "-"
	key := func(key, value string) {
		fmt.Fprintf(b, "  %s %s: %s\n", bullet, key, value)
		bullet = " "
	}
	if f.Name != "" {
		key(keyName, yamlWord(f.Name))
	}
	if len(e.others) == 0 {
		key(keyFrontend, yamlWord(joinAddress(f.Frontend.Address, f.Frontend.Ports.String())+e.suffix))
	} else {
		key(keyFrontend, yamlWord(f.Frontend.Ports.String()+e.suffix))
		writeList(b, key, keyAddresses, append([]string{f.Frontend.Address.String()}, words(e.others)...))
	}
	if len(f.Frontend.Devices) > 0 {
		key(keyDevices, yamlList(f.Frontend.Devices))
	}
	writeList(b, key, keyBackends, words(f.Backends))
	if f.Source != SourceAuto {
		key(keySource, string(f.Source))
	}
	if len(f.SourceAddresses) > 0 {
		writeList(b, key, keySourceAddresses, words(f.SourceAddresses))
	}
	if f.Balance != BalanceMaglev {
		key(keyBalance, string(f.Balance))
	}
	if f.Affinity != 0 {
		key(keyAffinity, FormatDuration(f.Affinity))
	}
	if f.AffinityGroup != "" {
		key(keyGroup, yamlWord(f.AffinityGroup))
	}
	if f.Own != OwnAuto {
		key(keyOwn, string(f.Own))
	}
	if f.Check != (Check{}) {
		key(keyCheck, yamlWord(f.Check.String()))
	}
	if f.MSS != MSSAuto {
		key(keyMSS, yamlWord(f.MSS.String()))
	}
	if f.Comment != "" {
		key(keyComment, yamlWord(f.Comment))
	}
	if !f.ExpiresAt.IsZero() {
		key(keyExpiresAt, yamlWord(f.ExpiresAt.Format(time.RFC3339)))
	}
}

// writeList writes the words of a key that is not an entry's first, in one line if that
// is short.
func writeList(b *bytes.Buffer, line func(key, value string), key string, words []string) {
	if list := yamlList(words); len(list) <= listWidth {
		line(key, list)
		return
	}
	fmt.Fprintf(b, "    %s:\n", key)
	for _, word := range words {
		fmt.Fprintf(b, "      - %s\n", yamlWord(word))
	}
}

func yamlList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = yamlWord(w)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// yamlWord writes a port as an integer, and quotes all that some reader of
// YAML may take for anything else than a string. Words of a forward have no
// characters that Go and YAML escape differently.
func yamlWord(s string) string {
	_, notPort := parsePort(s)
	if notPort == nil || plainInYAML(s) {
		return s
	}
	return strconv.Quote(s)
}

// plainInYAML is true for words that begin with a letter, have no punctuation
// that means something, and are not what YAML 1.1 or 1.2 reserves.
func plainInYAML(s string) bool {
	reserved := []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
	return s != "" && strings.ContainsAny(s[:1], letters) &&
		!strings.ContainsFunc(s, notInName) &&
		!slices.Contains(reserved, strings.ToLower(s))
}

// FormatDuration is d.String without the zeros at its end: 3h, not 3h0m0s.
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
