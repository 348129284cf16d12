// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"strings"
)

// yamlWriter turns the tokens of JSON into YAML in block style.
type yamlWriter struct {
	tokens *json.Decoder
	b      *bytes.Buffer
}

// value writes the value that begins with a token. Keys and items are indented
// by depth; lead is what separates a collection from what stands before it.
func (y *yamlWriter) value(token json.Token, depth int, lead string) error {
	delim, isCollection := token.(json.Delim)
	if !isCollection {
		return y.scalar(token)
	}
	if !y.tokens.More() {
		y.b.WriteString(" " + map[json.Delim]string{'{': "{}", '[': "[]"}[delim] + "\n")
		_, err := y.tokens.Token()
		return err
	}
	y.b.WriteString(lead)
	for first := true; y.tokens.More(); first = false {
		if !first || lead == "\n" {
			y.b.WriteString(strings.Repeat("  ", depth))
		}
		token, err := y.tokens.Token()
		if err != nil {
			return err
		}
		if delim == '{' {
			y.b.WriteString(token.(string) + ":")
			if token, err = y.tokens.Token(); err != nil {
				return err
			}
			err = y.value(token, depth+1, "\n")
		} else {
			y.b.WriteString("-")
			err = y.value(token, depth+1, " ")
		}
		if err != nil {
			return err
		}
	}
	_, err := y.tokens.Token()
	return err
}

// scalar writes a scalar as JSON has it, which YAML understands.
func (y *yamlWriter) scalar(token json.Token) error {
	y.b.WriteString(" ")
	return encodeJSON(y.b, token, "")
}
