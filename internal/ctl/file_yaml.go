// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"errors"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// document returns the mapping that is the only document of the file.
func (r *fileReader) document(data []byte) (*ast.MappingNode, error) {
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, r.yamlError(err)
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	switch {
	case len(bodies) == 0:
		return nil, r.errorf(1, "the file is empty; begin it with %s", r.begin)
	case len(bodies) > 1:
		return nil, r.errorf(line(bodies[1]), "a second document begins; put everything into the first")
	}
	top, isMapping := bodies[0].(*ast.MappingNode)
	if !isMapping {
		return nil, r.errorf(line(bodies[0]), "this is no file of xfwd; begin it with %s", r.begin)
	}
	return top, nil
}

// yamlError makes one line of an error of the YAML parser, which draws the
// place.
func (r *fileReader) yamlError(err error) error {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		return Errorf(ErrSyntax, "%s: this is not YAML: %q", r.name, err.Error())
	}
	message := strings.ReplaceAll(e.GetMessage(), "\t", `\t`)
	return r.errorf(e.GetToken().Position.Line, "this is not YAML: %s; put words with brackets, braces or colons in quotes", message)
}

// mapping returns the values of a mapping that has none but the known keys,
// each at most once.
func (r *fileReader) mapping(n ast.Node, known []string) (map[string]ast.Node, error) {
	m, isMapping := n.(*ast.MappingNode)
	if !isMapping {
		return nil, r.errorf(line(n), "a forward is written in keys; begin it with frontend: 80")
	}
	values := map[string]ast.Node{}
	for _, v := range m.Values {
		key, isString := v.Key.(*ast.StringNode)
		if !isString || !slices.Contains(known, key.Value) {
			return nil, r.errorf(line(v.Key), "key %q is unknown; here can be %s", v.Key.GetToken().Value, orList(known))
		}
		if _, found := values[key.Value]; found {
			return nil, r.errorf(line(v.Key), "%s is given twice; remove one", key.Value)
		}
		if v.Value == nil || v.Value.Type() == ast.NullType {
			return nil, r.errorf(line(v.Key), "%s has no value; give one or remove the key", key.Value)
		}
		values[key.Value] = v.Value
	}
	return values, nil
}

// list returns the items of a list.
func (r *fileReader) list(key string, n ast.Node) ([]ast.Node, error) {
	s, isSequence := n.(*ast.SequenceNode)
	if !isSequence {
		return nil, r.errorf(line(n), "%s is a list; write [a] or lines that begin with a dash", key)
	}
	return s.Values, nil
}

// texts returns the words of a list.
func (r *fileReader) texts(key string, n ast.Node) ([]string, error) {
	nodes, err := r.list(key, n)
	if err != nil {
		return nil, err
	}
	var words []string
	for _, n := range nodes {
		word, err := r.text(key, n)
		if err != nil {
			return nil, err
		}
		words = append(words, word)
	}
	return words, nil
}

// text returns a scalar as it is written, which for an integer is not always
// how YAML understands it.
func (r *fileReader) text(key string, n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.IntegerNode:
		return n.Token.Value, nil
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return "", r.errorf(line(n), "%s has an anchor, an alias or a tag, which xfwd does not read; write the value out", key)
	case *ast.MappingNode, *ast.SequenceNode:
		return "", r.errorf(line(n), "%s is one word here, not a list or keys; write it as text", key)
	default:
		return "", r.errorf(line(n), "%s is not text; put it in quotes", key)
	}
}

// line returns where a node begins.
func line(n ast.Node) int {
	if m, isMapping := n.(*ast.MappingNode); isMapping && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	return n.GetToken().Position.Line
}
