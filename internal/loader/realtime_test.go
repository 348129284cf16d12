// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

func TestCheckKernel(t *testing.T) {
	const (
		ordinary = "#1 SMP PREEMPT_DYNAMIC Tue Dec 2 10:00:00 UTC 2025"
		realtime = "#1 SMP PREEMPT_RT Tue Dec 2 10:00:00 UTC 2025"
		with     = "CONFIG_PREEMPT_RT=y\nCONFIG_PREEMPT_RT_NEEDS_BH_LOCK=y\nCONFIG_PREEMPT_COUNT=y\n"
		without  = "CONFIG_PREEMPT_RT=y\n# CONFIG_PREEMPT_RT_NEEDS_BH_LOCK is not set\n"
		before   = "CONFIG_PREEMPT_RT=y\nCONFIG_PREEMPT_COUNT=y\n"
	)
	const mixes, unknown = "it has no CONFIG_PREEMPT_RT_NEEDS_BH_LOCK", "put its configuration into /boot/config-"
	type files map[string]string
	for name, test := range map[string]struct {
		release, version string
		files            files
		refusal          string
	}{
		"no real time":                   {"6.18.1", ordinary, files{"boot/config-6.18.1": without}, ""},
		"nothing can be read":            {"", "", nil, ""},
		"before the option":              {"6.17.9-rt5", realtime, nil, ""},
		"before, and configured":         {"6.12.0", realtime, files{"boot/config-6.12.0": before}, ""},
		"patched before":                 {"5.10.1-rt1", "#1 SMP PREEMPT RT Tue Dec 2", nil, ""},
		"the option in an older one":     {"6.12.0-55.el10", realtime, files{"boot/config-6.12.0-55.el10": without}, mixes},
		"with the lock":                  {"6.18.1", realtime, files{"boot/config-6.18.1": with}, ""},
		"without the lock":               {"6.18.1", realtime, files{"boot/config-6.18.1": without}, mixes},
		"later, without the lock":        {"7.0.0-rc1", realtime, files{"boot/config-7.0.0-rc1": without}, mixes},
		"later, the option gone":         {"7.4.0", realtime, files{"boot/config-7.4.0": before}, mixes},
		"no configuration":               {"6.18.1", realtime, nil, unknown + "6.18.1"},
		"another one's configuration":    {"6.18.1", realtime, files{"boot/config-6.18.2": with}, unknown + "6.18.1"},
		"no release":                     {"mine", realtime, nil, unknown + "mine"},
		"compressed, with the lock":      {"6.18.1", realtime, files{"proc/config.gz": with}, ""},
		"compressed, without the lock":   {"6.18.1", realtime, files{"proc/config.gz": without}, mixes},
		"the kernel's own comes first":   {"6.18.1", realtime, files{"proc/config.gz": without, "boot/config-6.18.1": with}, mixes},
		"beside the modules":             {"6.18.1", realtime, files{"lib/modules/6.18.1/config": with}, ""},
		"the file of the patches":        {"6.18.1", "#1 SMP", files{"sys/kernel/realtime": "1\n"}, unknown},
		"the file of the patches, no":    {"6.18.1", ordinary, files{"sys/kernel/realtime": "0\n"}, ""},
		"the file, and without the lock": {"6.18.1", "#1 SMP", files{"sys/kernel/realtime": "1\n", "boot/config-6.18.1": without}, mixes},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			put := func(path, content string) {
				if strings.HasSuffix(path, ".gz") {
					content = compressed(t, content)
				}
				root[path] = &fstest.MapFile{Data: []byte(content)}
			}
			put("proc/sys/kernel/osrelease", test.release+"\n")
			put("proc/sys/kernel/version", test.version+"\n")
			for path, content := range test.files {
				put(path, content)
			}
			err := checkKernel(root)
			if test.refusal == "" {
				must(t, err)
				return
			}
			if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), test.refusal) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %q", err, test.refusal)
			}
		})
	}
}

// A configuration that is cut off says nothing, and another file is asked.
func TestCheckKernelOfABrokenConfiguration(t *testing.T) {
	whole := compressed(t, strings.Repeat("# CONFIG_SOMETHING is not set\n", 100)+"CONFIG_PREEMPT_RT_NEEDS_BH_LOCK=y\n")
	for name, broken := range map[string]string{"cut off": whole[:len(whole)/2], "empty": "", "another format": "CONFIG_X=y\n"} {
		root := fstest.MapFS{
			"proc/sys/kernel/osrelease": {Data: []byte("6.18.1\n")},
			"sys/kernel/realtime":       {Data: []byte("1\n")},
			"proc/config.gz":            {Data: []byte(broken)},
		}
		if err := checkKernel(root); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
		root["boot/config-6.18.1"] = &fstest.MapFile{Data: []byte("CONFIG_PREEMPT_RT_NEEDS_BH_LOCK=y\n")}
		if err := checkKernel(root); err != nil {
			t.Errorf("%s, beside another file: %v", name, err)
		}
	}
}

func compressed(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(s))
	must(t, err)
	must(t, w.Close())
	return b.String()
}
