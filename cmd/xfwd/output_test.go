// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// An independent reader of YAML must see what a reader of JSON sees.
func TestEncodeYAML(t *testing.T) {
	for _, text := range []string{
		`[]`, `{}`, `[[]]`, `[{}]`, `{"a":[]}`, `[[1,2],[3]]`, `[{"a":1,"b":{"c":[{"d":null}]}},{"a":true}]`,
		`{"s":"- a: b # c\n\"\\\t "}`, `{"s":[".inf","0x10","1e3","true","null","~","",":","é","\u2028","<&>"]}`,
		`{"n":[0,-1,1.5,18446744073709551615]}`,
	} {
		t.Run(text, func(t *testing.T) {
			var want, read, got any
			if err := json.Unmarshal([]byte(text), &want); err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := encodeYAML(&b, json.RawMessage(text)); err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal(b.Bytes(), &read); err != nil {
				t.Fatalf("%v in\n%s", err, b.String())
			}
			// Through JSON once more, for the same types of numbers.
			again, err := json.Marshal(read)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(again, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s\n%s", diff, b.String())
			}
		})
	}
}
