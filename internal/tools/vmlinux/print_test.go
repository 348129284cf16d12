// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

var (
	u8   = &btf.Int{Name: "unsigned char", Size: 1}
	u16  = &btf.Int{Name: "short unsigned int", Size: 2}
	u32  = &btf.Int{Name: "unsigned int", Size: 4}
	u64  = &btf.Int{Name: "long long unsigned int", Size: 8}
	char = &btf.Int{Name: "char", Size: 1, Encoding: btf.Char}
)

func array(n uint32, typ btf.Type) *btf.Array { return &btf.Array{Index: u32, Type: typ, Nelems: n} }

func pointer(typ btf.Type) *btf.Pointer { return &btf.Pointer{Target: typ} }

// list is a struct that refers to itself.
func list() *btf.Struct {
	s := &btf.Struct{Name: "list", Size: 16}
	s.Members = []btf.Member{
		{Name: "next", Type: pointer(s)},
		{Name: "prev", Type: pointer(s), Offset: 64},
	}
	return s
}

func TestPrintHeader(t *testing.T) {
	flags := &btf.Enum{Name: "flags", Size: 4, Values: []btf.EnumValue{{Name: "ON", Value: 1}, {Name: "ALL", Value: 0xffffffff}}}
	addr := &btf.Struct{Name: "addr", Size: 4, Members: []btf.Member{{Name: "word", Type: u32}}}
	addrT := &btf.Typedef{Name: "addr_t", Type: addr}
	be16 := &btf.Typedef{Name: "__be16", Type: u16}

	for _, test := range []struct {
		name  string
		types []btf.Type
		want  string
	}{
		{
			"a typedef of the prelude is used, not printed",
			[]btf.Type{&btf.Struct{Name: "port", Size: 2, Members: []btf.Member{{Name: "port", Type: be16}}}},
			`
struct port {
	__be16 port;
};
`,
		},
		{
			"what a member holds comes first, what it points to is only declared",
			[]btf.Type{&btf.Struct{Name: "s", Size: 24, Members: []btf.Member{
				{Name: "addr", Type: addrT},
				{Name: "flags", Type: flags, Offset: 32},
				{Name: "list", Type: pointer(list()), Offset: 64},
				{Name: "other", Type: pointer(&btf.Fwd{Name: "u", Kind: btf.FwdUnion}), Offset: 128},
			}}},
			`
struct addr {
	unsigned int word;
};

typedef struct addr addr_t;

enum flags {
	ON = 1,
	ALL = 4294967295,
};

struct list;

union u;

struct s {
	addr_t addr;
	enum flags flags;
	struct list *list;
	union u *other;
};
`,
		},
		{
			"a typedef that was printed behind a pointer is completed when it is held",
			[]btf.Type{
				&btf.Struct{Name: "far", Size: 8, Members: []btf.Member{{Name: "addr", Type: pointer(addrT)}}},
				&btf.Struct{Name: "near", Size: 4, Members: []btf.Member{{Name: "addr", Type: addrT}}},
			},
			`
struct addr;

typedef struct addr addr_t;

struct far {
	addr_t *addr;
};

struct addr {
	unsigned int word;
};

struct near {
	addr_t addr;
};
`,
		},
		{
			"a pointer to an array needs its elements",
			[]btf.Type{&btf.Typedef{Name: "row_t", Type: pointer(array(2, addr))}},
			`
struct addr {
	unsigned int word;
};

typedef struct addr (*row_t)[2];
`,
		},
		{
			"a struct that points to itself",
			[]btf.Type{list()},
			`
struct list;

struct list {
	struct list *next;
	struct list *prev;
};
`,
		},
		{
			"structs, unions and enums without a name stand where they are used",
			[]btf.Type{&btf.Struct{Name: "s", Size: 12, Members: []btf.Member{
				{Type: &btf.Union{Size: 8, Members: []btf.Member{
					{Name: "v4", Type: u32},
					{Name: "v6", Type: &btf.Struct{Size: 8, Members: []btf.Member{
						{Name: "hi", Type: u32}, {Name: "lo", Type: u32, Offset: 32},
					}}},
				}}},
				{Name: "kind", Type: &btf.Enum{Size: 4, Values: []btf.EnumValue{{Name: "V4", Value: 4}}}, Offset: 64},
			}}},
			`
struct s {
	union {
		unsigned int v4;
		struct {
			unsigned int hi;
			unsigned int lo;
		} v6;
	};
	enum {
		V4 = 4,
	} kind;
};
`,
		},
		{
			"declarators",
			[]btf.Type{&btf.Struct{Name: "s", Size: 96, Members: []btf.Member{
				{Name: "grid", Type: array(2, array(3, u8))},
				{Name: "names", Type: array(2, pointer(&btf.Const{Type: char})), Offset: 64},
				{Name: "row", Type: pointer(array(4, u32)), Offset: 192},
				{Name: "fixed", Type: &btf.Const{Type: pointer(&btf.Volatile{Type: u32})}, Offset: 256},
				{Name: "call", Type: pointer(&btf.FuncProto{
					Return: pointer(&btf.Void{}),
					Params: []btf.FuncParam{{Name: "s", Type: pointer(list())}, {Type: u8}, {Type: &btf.Void{}}},
				}), Offset: 320},
				{Name: "done", Type: pointer(&btf.FuncProto{Return: &btf.Void{}}), Offset: 384},
				{Name: "tagged", Type: pointer(&btf.TypeTag{Value: "rcu", Type: array(2, u8)}), Offset: 448},
				{Name: "spare", Type: array(2, u64), Offset: 512},
				{Name: "rest", Type: array(0, u64), Offset: 640},
				{Name: "cold", Type: &btf.TypeTag{Value: "user", Type: u64}, Offset: 640},
				{Name: "name", Type: &btf.Const{Type: array(8, &btf.Const{Type: char})}, Offset: 704},
			}}},
			`
struct list;

struct s {
	unsigned char grid[2][3];
	const char *names[2];
	unsigned int (*row)[4];
	volatile unsigned int *const fixed;
	void *(*call)(struct list *s, unsigned char, ...);
	void (*done)(void);
	unsigned char (*tagged)[2];
	long long unsigned int spare[2];
	long long unsigned int rest[0];
	long long unsigned int cold;
	const char name[8];
};
`,
		},
		{
			"fields of bits",
			[]btf.Type{&btf.Struct{Name: "s", Size: 4, Members: []btf.Member{
				{Name: "low", Type: u8, BitfieldSize: 4},
				{Name: "high", Type: u8, BitfieldSize: 4, Offset: 4},
				{Name: "wide", Type: u16, BitfieldSize: 12, Offset: 16},
			}}},
			`
struct s {
	unsigned char low : 4;
	unsigned char high : 4;
	short unsigned int wide : 12;
};
`,
		},
		{
			"padding that C would not add",
			[]btf.Type{&btf.Struct{Name: "s", Size: 8, Members: []btf.Member{
				{Name: "first", Type: u16},
				{Name: "bits", Type: u8, BitfieldSize: 3, Offset: 27},
			}}},
			`
struct s {
	short unsigned int first;
	unsigned char : 8;
	unsigned char : 3;
	unsigned char bits : 3;
	unsigned char : 2;
	unsigned char : 8;
	unsigned char : 8;
	unsigned char : 8;
	unsigned char : 8;
};
`,
		},
		{
			"padding that C adds by itself",
			[]btf.Type{&btf.Struct{Name: "s", Size: 16, Members: []btf.Member{
				{Name: "first", Type: u8},
				{Name: "wide", Type: u64, Offset: 64},
			}}},
			`
struct s {
	unsigned char first;
	long long unsigned int wide;
};
`,
		},
		{
			"packed, by the place of a member and by the size",
			[]btf.Type{
				&btf.Struct{Name: "odd", Size: 6, Members: []btf.Member{
					{Name: "first", Type: u16},
					{Name: "wide", Type: u32, Offset: 16},
				}},
				&btf.Union{Name: "short", Size: 5, Members: []btf.Member{
					{Name: "wide", Type: u32},
					{Name: "bytes", Type: array(5, u8)},
				}},
			},
			`
struct odd {
	short unsigned int first;
	unsigned int wide;
} __attribute__((packed));

union short {
	unsigned int wide;
	unsigned char bytes[5];
} __attribute__((packed));
`,
		},
		{
			"enums that are negative, wide and narrow",
			[]btf.Type{
				&btf.Enum{Size: 4, Signed: true, Values: []btf.EnumValue{{Name: "NONE", Value: ^uint64(0)}}},
				&btf.Enum{Name: "wide", Size: 8, Values: []btf.EnumValue{{Name: "MASK", Value: 0xfffff << 32}}},
				&btf.Enum{Name: "narrow", Size: 1, Values: []btf.EnumValue{{Name: "ZERO", Value: 0}}},
			},
			`
enum {
	NONE = -1,
};

enum wide {
	MASK = 4503595332403200ULL,
};

enum narrow {
	ZERO = 0,
} __attribute__((packed));
`,
		},
		{
			"a type that is listed twice over is printed once",
			[]btf.Type{addr, addrT, addr},
			`
struct addr {
	unsigned int word;
};

typedef struct addr addr_t;
`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			header, err := printHeader(test.types, "")
			if err != nil {
				t.Fatal(err)
			}
			_, got, _ := strings.Cut(string(header), prelude)
			got = strings.TrimSuffix(got, "\n#endif\n")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestPrintHeaderRefuses(t *testing.T) {
	overlapping := &btf.Struct{Name: "s", Size: 8, Members: []btf.Member{
		{Name: "first", Type: u32},
		{Name: "second", Type: u32},
	}}
	if _, err := printHeader([]btf.Type{overlapping}, ""); err == nil || !strings.Contains(err.Error(), "second") {
		t.Errorf("a struct whose members overlap: error %v, want one that names the second", err)
	}
}

func TestPrintHeaderNamesTheKernel(t *testing.T) {
	header, err := printHeader(nil, "6.18")
	if err != nil {
		t.Fatal(err)
	}
	if want := "/* Kernel: 6.18 */\n"; !strings.Contains(string(header), want) {
		t.Errorf("no %q in\n%s", want, header)
	}
}
