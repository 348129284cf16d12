// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bytes"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var images = flag.String("images", "", "write the pictures of the README into this `directory`, after two minutes of traffic")

// The pictures of the README show what there is, and are small.
func TestScreenshots(t *testing.T) {
	s := newScene(t)
	s.trade(t)
	directory := t.TempDir()
	if *images != "" {
		directory = *images
		t.Setenv("FONTCONFIG_FILE", inter(t))
	}
	write := func(name string, picture []byte) {
		if len(picture) > 150_000 {
			t.Errorf("%s has %d bytes", name, len(picture))
		}
		if err := os.WriteFile(filepath.Join(directory, name), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := s.look(t, desktop)
	if *images != "" {
		time.Sleep(2 * time.Minute)
	}
	b.until(`[...document.querySelectorAll("#forwards-table tbody .line")].some((line) => line.getAttribute("d").length > 20)`)
	value[bool](b, `document.querySelectorAll(".unfold")[2].click() ?? true`)
	for _, shot := range []struct {
		name string
		at   screen
	}{
		{"page-light.png", screen{1280, 860, "light"}},
		{"page-dark.png", screen{1280, 860, "dark"}},
		{"page-phone-light.png", phone},
		{"page-phone-dark.png", phone.dark()},
	} {
		b.resize(shot.at)
		b.until(`matchMedia("(prefers-color-scheme: %s)").matches && innerWidth === %d`, shot.at.scheme, shot.at.width)
		write(shot.name, smaller(t, b.picture()))
	}
	write("top.png", s.top(t))
}

// inter is a configuration by which the system's font is Inter.
func inter(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fonts.conf")
	const configuration = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
	<include>/etc/fonts/fonts.conf</include>
	<match target="pattern">
		<test name="family" compare="not_eq" qual="all"><string>monospace</string></test>
		<edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit>
	</match>
</fontconfig>
`
	if err := os.WriteFile(path, []byte(configuration), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// smaller gives a picture as many colours as PNG has short numbers for: those that are
// most frequent, and for each other one the nearest of them.
func smaller(t *testing.T, picture []byte) []byte {
	t.Helper()
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	area := decoded.Bounds()
	frequency := make(map[color.Color]int)
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			frequency[decoded.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(frequency), func(a, b color.Color) int { return frequency[b] - frequency[a] })
	paletted := image.NewPaletted(area, colours[:min(len(colours), 256)])
	draw.Draw(paletted, area, decoded, area.Min, draw.Src)
	var packed bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&packed, paletted); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}
