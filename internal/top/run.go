// SPDX-License-Identifier: Apache-2.0

package top

import (
	"context"
	"fmt"
	"time"

	"github.com/gdamore/tcell/v2"
)

// Options modify Run.
type Options struct {
	// Interval is how often samples are taken.
	Interval time.Duration
	Now      func() time.Time
	// Colourless leaves colours out.
	Colourless bool
}

// Run shows the source on this process's terminal, until its user leaves or the
// context ends. Then the terminal is as it was before.
func Run(ctx context.Context, source Source, o Options) error {
	s := &sampler{source: source, now: o.Now}
	// What cannot be read is said on the terminal as it is.
	first := s.take(ctx, "")
	if first.Err != nil {
		return first.Err
	}
	screen, err := tcell.NewScreen()
	if err == nil {
		err = screen.Init()
	}
	if err != nil {
		return fmt.Errorf("cannot draw on this terminal: %w; `xfwd stats --watch` shows rates line by line", err)
	}
	defer screen.Fini()
	m := NewModel(o.Interval, first)
	m.Resize(screen.Size())
	return loop(ctx, s, m, &display{screen, o.Colourless})
}

// loop brings keys and samples to the model, and the model to the display.
func loop(ctx context.Context, s *sampler, m *Model, d *display) error {
	events, done := make(chan tcell.Event), make(chan struct{})
	defer close(done)
	go d.screen.ChannelEvents(events, done)
	samples := make(chan Sample, 1)
	next := time.NewTimer(m.interval)
	defer next.Stop()
	var began time.Time
	due, taking, inside := false, false, m.Inside()
	for {
		// What the user looks into is shown at once.
		due = due || m.Inside() != inside
		inside = m.Inside()
		if due && !taking && !m.Paused() {
			due, taking, began = false, true, time.Now()
			go func(of string) { samples <- s.take(ctx, of) }(inside)
		}
		d.show(m.View())
		select {
		case <-ctx.Done():
			return nil
		case e := <-events:
			if err := d.handle(e, m); err != nil {
				return err
			}
			if m.Done() {
				return nil
			}
		case sample := <-samples:
			taking = false
			m.Add(sample)
			next.Reset(pause(m.interval, time.Since(began)))
		case <-next.C:
			due = true
		}
	}
}

// pause is how long to wait when a sample has taken so long: with many flows it takes
// seconds, and three quarters of a processor shall be left for others.
func pause(interval, took time.Duration) time.Duration {
	return max(interval-took, 3*took)
}

// display is the screen that lines are drawn on.
type display struct {
	screen     tcell.Screen
	colourless bool
}

// handle is what has happened at the terminal.
func (d *display) handle(e tcell.Event, m *Model) error {
	switch e := e.(type) {
	case *tcell.EventResize:
		m.Resize(e.Size())
		d.screen.Sync()
	case *tcell.EventError:
		return fmt.Errorf("the terminal is gone: %w", e)
	case *tcell.EventKey:
		switch e.Key() {
		case tcell.KeyCtrlL:
			d.screen.Sync()
		case tcell.KeyCtrlZ:
			return d.suspend()
		default:
			m.Press(keyName(e))
		}
	}
	return nil
}

// keyName is a key as Press has it.
func keyName(e *tcell.EventKey) string {
	switch e.Key() {
	case tcell.KeyRune:
		return string(e.Rune())
	case tcell.KeyBackspace, tcell.KeyBackspace2:
		return "backspace"
	}
	return keyNames[e.Key()]
}

var keyNames = map[tcell.Key]string{
	tcell.KeyCtrlC: "ctrl+c", tcell.KeyEnter: "enter", tcell.KeyEsc: "esc",
	tcell.KeyUp: "up", tcell.KeyDown: "down", tcell.KeyLeft: "left", tcell.KeyRight: "right",
	tcell.KeyPgUp: "pgup", tcell.KeyPgDn: "pgdn", tcell.KeyHome: "home", tcell.KeyEnd: "end",
}

// show draws lines. Only what has changed goes to the terminal.
func (d *display) show(lines []Line) {
	d.screen.Clear()
	for y, line := range lines {
		d.screen.PutStrStyled(0, y, line.Text, d.style(line.Style))
	}
	d.screen.Show()
}

func (d *display) style(s Style) tcell.Style {
	plain := tcell.StyleDefault
	alert := plain.Bold(true)
	if !d.colourless {
		alert = plain.Foreground(tcell.ColorMaroon)
	}
	return map[Style]tcell.Style{
		Strong: plain.Bold(true), Title: plain.Underline(true), Selected: plain.Reverse(true), Alert: alert, Weak: plain.Dim(true),
	}[s]
}
