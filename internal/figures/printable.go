// SPDX-License-Identifier: Apache-2.0

package figures

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Printable returns a text with all that a terminal may take for a command written as an
// escape, such as \x1b. The kernel lets names of devices have such bytes.
func Printable(s string) string {
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case !unprintable(r):
			b.WriteString(s[:size])
		case r == utf8.RuneError && size == 1 || r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		s = s[size:]
	}
	return b.String()
}

// PrintableJSON is Printable for JSON: what is unprintable is in strings, as an escape of JSON.
func PrintableJSON(text []byte) []byte {
	if !bytes.ContainsFunc(text, unprintableInJSON) {
		return text
	}
	var b bytes.Buffer
	for _, r := range string(text) {
		switch {
		case !unprintableInJSON(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}

// unprintableInJSON leaves out what is between values.
func unprintableInJSON(r rune) bool { return r != '\n' && unprintable(r) }

func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
