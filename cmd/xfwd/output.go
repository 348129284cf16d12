// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/xfwd/xfwd/internal/figures"
)

// format is the value of --output.
type format string

const (
	formatTable format = "table"
	formatWide  format = "wide"
	formatJSON  format = "json"
	formatYAML  format = "yaml"
)

func formats() []format {
	return []format{formatTable, formatWide, formatJSON, formatYAML}
}

// isText says that people read the output, not programs.
func (f format) isText() bool {
	return f == formatTable || f == formatWide
}

// encode prints a value as JSON, or as YAML of the same shape.
func (a *app) encode(v any) error {
	if a.output == formatYAML {
		return encodeYAML(a.stdout, v)
	}
	return encodeJSON(a.stdout, v, "  ")
}

// encodeJSON prints one value and a newline; an empty indent means one line.
func encodeJSON(w io.Writer, v any, indent string) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(figures.PrintableJSON(text.Bytes()))
	return err
}

// encodeYAML prints a value as YAML, with the keys and the order that it has
// as JSON. Strings are always quoted, so that none is read as a number.
func encodeYAML(w io.Writer, v any) error {
	var text bytes.Buffer
	if err := encodeJSON(&text, v, ""); err != nil {
		return err
	}
	tokens := json.NewDecoder(&text)
	tokens.UseNumber()
	var b bytes.Buffer
	first, err := tokens.Token()
	if err != nil {
		return err
	}
	y := yamlWriter{tokens: tokens, b: &b}
	if err := y.value(first, 0, "\n"); err != nil {
		return err
	}
	_, err = w.Write(bytes.TrimLeft(b.Bytes(), " \n"))
	return err
}
