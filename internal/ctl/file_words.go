// SPDX-License-Identifier: Apache-2.0

package ctl

import "github.com/goccy/go-yaml/ast"

// Word is a value in a file, as it is written there.
type Word struct {
	Text string
	Line int
}

// ParseWords returns the words of a file that has nothing but keys with one word
// each, by key. What is wrong is said as by ParseFile; begin is a first line that
// such a file may have.
func ParseWords(name string, data []byte, known []string, begin string) (map[string]Word, error) {
	r := fileReader{name: name, begin: begin}
	top, err := r.document(data)
	if err != nil {
		return nil, err
	}
	values, err := r.mapping(top, known)
	if err != nil {
		return nil, err
	}
	words := make(map[string]Word)
	for key, n := range values {
		if truth, is := n.(*ast.BoolNode); is {
			words[key] = Word{Text: truth.Token.Value, Line: line(n)}
			continue
		}
		text, err := r.text(key, n)
		if err != nil {
			return nil, err
		}
		words[key] = Word{Text: text, Line: line(n)}
	}
	return words, nil
}
