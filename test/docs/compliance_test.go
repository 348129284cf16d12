// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"slices"
	"strings"
	"testing"
)

// compliance is the table of what translators shall do.
const compliance = "docs/rfc-compliance.md"

// requirements are what each of these asks for, in its order. A letter is a part of
// the number before it.
var requirements = map[string]string{
	"RFC 4787": "REQ-1 REQ-2 REQ-3 3a REQ-4 REQ-5 5a 5b 5c REQ-6 6a REQ-7 REQ-8 REQ-9 9a REQ-10 10a REQ-11 REQ-12 12a 12b REQ-13 13a REQ-14 14a",
	"RFC 5382": "REQ-1 REQ-2 2a REQ-3 3a 3b REQ-4 4a REQ-5 5a REQ-6 REQ-7 REQ-8 8a REQ-9 REQ-10",
	"RFC 5508": "REQ-1 1a REQ-2 2a REQ-3 3a 3b 3c 3d REQ-4 4a 4b 4c REQ-5 5a 5b 5c REQ-6 REQ-7 7a REQ-8 REQ-9 10a 10b 10c 10d 10e 10f REQ-11",
	"RFC 7857": "2 2.1 2.2 3 4 5 6 7 7.1 8 9 10 11 12",
}

// row is the answer to a requirement.
type row struct{ requirement, wants, answer, shown, why string }

// rows returns the table below each heading that begins with the name of a document.
func rows(t *testing.T, text string) map[string][]row {
	t.Helper()
	tables := make(map[string][]row)
	heading := ""
	for line := range strings.Lines(text) {
		if title, is := strings.CutPrefix(line, "## "); is {
			heading, _, _ = strings.Cut(strings.TrimSpace(title), ":")
		}
		line = strings.TrimSpace(line)
		if requirements[heading] == "" || !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| |") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 5 {
			t.Fatalf("%s: %d cells, want 5: %s", heading, len(cells), line)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		tables[heading] = append(tables[heading], row{cells[0], cells[1], cells[2], cells[3], cells[4]})
	}
	return tables
}

// Every requirement has one answer. What is so, is shown by a test that exists; what
// is not, has a reason.
func TestComplianceIsShown(t *testing.T) {
	index := indexTests(t)
	tables := rows(t, read(t, compliance))
	for document, want := range requirements {
		var got []string
		for _, r := range tables[document] {
			got = append(got, r.requirement)
			at := document + ", " + r.requirement
			shown := testName.MatchString(r.shown)
			switch r.answer {
			case "yes":
				if !shown {
					t.Errorf("%s: yes, and no test shows it", at)
				}
			case "partly":
				if !shown || r.why == "" {
					t.Errorf("%s: partly, and no test or no reason", at)
				}
			case "no", "does not apply":
				if r.why == "" {
					t.Errorf("%s: %s, without a reason", at, r.answer)
				}
			default:
				t.Errorf("%s: the answer is %q", at, r.answer)
			}
			if r.wants == "" {
				t.Errorf("%s: what does it want?", at)
			}
			if missing := index.missing(r.shown + r.why); missing != nil {
				t.Errorf("%s: there is no %s", at, strings.Join(missing, ", "))
			}
		}
		if want := strings.Fields(want); !slices.Equal(got, want) {
			t.Errorf("%s: answers to\n%v\nwant\n%v", document, got, want)
		}
	}
}
