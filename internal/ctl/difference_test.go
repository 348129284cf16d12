// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// Whatever a forward gets in addition, Difference must not take two that differ in it
// for the same.
func TestForwardsThatDifferInAnythingAreNotIdentical(t *testing.T) {
	var f Forward
	if !f.identical(f) {
		t.Error("a forward is not identical to itself")
	}
	differ := func(name string, field reflect.Value) {
		t.Helper()
		was := reflect.New(field.Type()).Elem()
		was.Set(field)
		field.Set(other(t, field.Type()))
		if (Forward{}).identical(f) {
			t.Errorf("forwards of which only %s differs are identical", name)
		}
		field.Set(was)
	}
	forward := reflect.ValueOf(&f).Elem()
	for i := range forward.NumField() {
		name := forward.Type().Field(i).Name
		if name != "Frontend" {
			differ(name, forward.Field(i))
			continue
		}
		frontend := forward.Field(i)
		for j := range frontend.NumField() {
			differ(name+"."+frontend.Type().Field(j).Name, frontend.Field(j))
		}
	}
}

// other returns a value that is not the zero value of its type.
func other(t *testing.T, of reflect.Type) reflect.Value {
	t.Helper()
	v := reflect.New(of).Elem()
	switch special := v.Addr().Interface().(type) {
	case *netip.Addr:
		*special = netip.IPv6Loopback()
		return v
	case *time.Time:
		*special = time.Unix(1, 0)
		return v
	}
	switch of.Kind() {
	case reflect.String:
		v.SetString("other")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(of, 1, 1))
	case reflect.Struct:
		v.Field(0).Set(other(t, of.Field(0).Type))
	default:
		if v.CanInt() {
			v.SetInt(1)
		} else {
			v.SetUint(1)
		}
	}
	return v
}
