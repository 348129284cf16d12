// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// enumBody returns "enum NAME { … }".
func enumBody(t *btf.Enum, depth int) string {
	var b strings.Builder
	b.WriteString(opening("enum", t.Name))
	for _, v := range t.Values {
		fmt.Fprintf(&b, "%s%s = %s,\n", indent(depth+1), v.Name, enumValue(t, v.Value))
	}
	b.WriteString(indent(depth) + "}")
	if t.Size < 4 {
		b.WriteString(" __attribute__((packed))")
	}
	return b.String()
}

func enumValue(t *btf.Enum, value uint64) string {
	suffix := ""
	if t.Size > 4 {
		suffix = "LL"
	}
	if t.Signed {
		return fmt.Sprintf("%d%s", int64(value), suffix)
	}
	if suffix != "" {
		suffix = "U" + suffix
	}
	return fmt.Sprintf("%d%s", value, suffix)
}

// compositeBody returns "struct NAME { … }" or "union NAME { … }".
func compositeBody(typ btf.Type, depth int) (string, error) {
	var (
		keyword string
		members []btf.Member
		size    uint32
	)
	switch t := typ.(type) {
	case *btf.Struct:
		keyword, members, size = "struct", t.Members, t.Size
	case *btf.Union:
		keyword, members, size = "union", t.Members, t.Size
	}
	packed, err := isPacked(members, size)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(opening(keyword, typ.TypeName()))
	end := btf.Bits(0) // Where the compiler is, in bits.
	for _, m := range members {
		if keyword == "struct" {
			if end, err = pad(&b, m, end, packed, depth+1); err != nil {
				return "", err
			}
		}
		line, err := memberLine(m, depth+1)
		if err != nil {
			return "", fmt.Errorf("member %s: %w", m.Name, err)
		}
		b.WriteString(line)
		length, err := bits(m)
		if err != nil {
			return "", err
		}
		end = max(end, m.Offset+length)
	}
	if err := padTail(&b, members, end, size, packed, keyword, depth+1); err != nil {
		return "", err
	}
	b.WriteString(indent(depth) + "}")
	if packed {
		b.WriteString(" __attribute__((packed))")
	}
	return b.String(), nil
}

func memberLine(m btf.Member, depth int) (string, error) {
	decl, err := declaration(m.Type, m.Name, depth)
	if err != nil {
		return "", err
	}
	if m.BitfieldSize != 0 {
		decl = fmt.Sprintf("%s : %d", decl, m.BitfieldSize)
	}
	return indent(depth) + decl + ";\n", nil
}

// pad writes what brings a compiler that is at bit end to member m, and returns
// where m begins.
func pad(b *strings.Builder, m btf.Member, end btf.Bits, packed bool, depth int) (btf.Bits, error) {
	at, err := place(m, end, packed)
	if err != nil {
		return 0, err
	}
	if at > m.Offset {
		return 0, fmt.Errorf("member %s is at bit %d, where C cannot put it", m.Name, m.Offset)
	}
	if at < m.Offset {
		fill(b, end, m.Offset, depth)
	}
	return m.Offset, nil
}

// padTail writes what brings a compiler that is at bit end to the size of the
// type, if the alignment alone does not.
func padTail(b *strings.Builder, members []btf.Member, end btf.Bits, size uint32, packed bool, keyword string, depth int) error {
	most := uint32(1)
	if !packed {
		var err error
		if most, err = widest(members); err != nil {
			return err
		}
	}
	want := btf.Bits(size * 8)
	if roundUp(end, btf.Bits(most*8)) == want {
		return nil
	}
	if keyword == "union" {
		fmt.Fprintf(b, "%sunsigned char __size[%d];\n", indent(depth), size)
		return nil
	}
	fill(b, end, want, depth)
	return nil
}

// fill writes fields without a name for the bits from begin to end.
func fill(b *strings.Builder, begin, end btf.Bits, depth int) {
	for begin < end {
		step := min(8-begin%8, end-begin)
		fmt.Fprintf(b, "%sunsigned char : %d;\n", indent(depth), step)
		begin += step
	}
}

func opening(keyword, name string) string {
	if name == "" {
		return keyword + " {\n"
	}
	return keyword + " " + name + " {\n"
}

func indent(depth int) string { return strings.Repeat("\t", depth) }
