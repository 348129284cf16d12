// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// declaration returns the C declaration of name with type typ, without the
// semicolon. C declarations are read from the name outwards, so they are built
// that way: each step wraps the declarator, and the innermost type ends it.
func declaration(typ btf.Type, declarator string, depth int) (string, error) {
	switch t := typ.(type) {
	case *btf.Pointer:
		switch skipTags(t.Target).(type) {
		case *btf.Array, *btf.FuncProto:
			return declaration(t.Target, "(*"+declarator+")", depth)
		}
		return declaration(t.Target, "*"+declarator, depth)
	case *btf.Array:
		return declaration(t.Type, fmt.Sprintf("%s[%d]", declarator, t.Nelems), depth)
	case *btf.FuncProto:
		params, err := parameters(t, depth)
		if err != nil {
			return "", err
		}
		return declaration(t.Return, declarator+"("+params+")", depth)
	case *btf.TypeTag:
		return declaration(t.Type, declarator, depth)
	case *btf.Const:
		return qualified("const", t.Type, declarator, depth)
	case *btf.Volatile:
		return qualified("volatile", t.Type, declarator, depth)
	case *btf.Restrict:
		return qualified("restrict", t.Type, declarator, depth)
	}
	specifier, err := specifier(typ, depth)
	if err != nil {
		return "", err
	}
	if declarator == "" {
		return specifier, nil
	}
	return specifier + " " + declarator, nil
}

// qualified puts a qualifier where C wants it: after the star of a pointer,
// before anything else.
func qualified(qualifier string, typ btf.Type, declarator string, depth int) (string, error) {
	if _, ok := skipTags(typ).(*btf.Pointer); ok {
		return declaration(typ, strings.TrimSpace(qualifier+" "+declarator), depth)
	}
	decl, err := declaration(typ, declarator, depth)
	if strings.HasPrefix(decl, qualifier+" ") {
		return decl, err // BTF qualifies a constant array and its elements.
	}
	return qualifier + " " + decl, err
}

func skipTags(typ btf.Type) btf.Type {
	for {
		tag, ok := typ.(*btf.TypeTag)
		if !ok {
			return typ
		}
		typ = tag.Type
	}
}

func parameters(proto *btf.FuncProto, depth int) (string, error) {
	if len(proto.Params) == 0 {
		return "void", nil
	}
	var list []string
	for i, param := range proto.Params {
		// BTF marks a variable number of arguments by a last one of type void.
		if _, ok := param.Type.(*btf.Void); ok && i == len(proto.Params)-1 {
			list = append(list, "...")
			continue
		}
		decl, err := declaration(param.Type, param.Name, depth)
		if err != nil {
			return "", err
		}
		list = append(list, decl)
	}
	return strings.Join(list, ", "), nil
}

// specifier returns the words that name a type, or its body if it has no name.
func specifier(typ btf.Type, depth int) (string, error) {
	switch t := typ.(type) {
	case *btf.Void:
		return "void", nil
	case *btf.Int:
		return t.Name, nil
	case *btf.Float:
		return t.Name, nil
	case *btf.Typedef:
		return t.Name, nil
	case *btf.Fwd:
		return t.Kind.String() + " " + t.Name, nil
	case *btf.Enum:
		if t.Name == "" {
			return enumBody(t, depth), nil
		}
		return "enum " + t.Name, nil
	case *btf.Struct:
		if t.Name == "" {
			return compositeBody(t, depth)
		}
		return "struct " + t.Name, nil
	case *btf.Union:
		if t.Name == "" {
			return compositeBody(t, depth)
		}
		return "union " + t.Name, nil
	default:
		return "", fmt.Errorf("%T cannot be written as C", typ)
	}
}
