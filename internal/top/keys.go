// SPDX-License-Identifier: Apache-2.0

package top

import "unicode/utf8"

// Press is a key of the user's: a character, or the name of another key.
func (m *Model) Press(key string) {
	switch {
	case key == "ctrl+c":
		m.quit = true
	case m.editing:
		m.edit(key)
	case m.help:
		m.help = false
	default:
		m.command(key)
	}
	m.keepInSight()
}

// edit is a key while the filter is written.
func (m *Model) edit(key string) {
	switch key {
	case "enter", "up", "down":
		m.editing = false
	case "esc":
		m.editing, m.filter = false, ""
	case "backspace":
		_, size := utf8.DecodeLastRuneInString(m.filter)
		m.filter = m.filter[:len(m.filter)-size]
	default:
		if utf8.RuneCountInString(key) == 1 {
			m.filter += key
		}
	}
}

// command is a key at any other time.
func (m *Model) command(key string) {
	switch key {
	case "q":
		m.quit = true
	case "?", "h":
		m.help = true
	case " ", "p":
		m.paused = !m.paused
	case "/":
		m.editing = true
	case "s":
		m.order = order{column: (m.order.column + 1) % len(columns)}
	case "r":
		m.order.reversed = !m.order.reversed
	case "enter", "right":
		m.enter()
	case "esc", "backspace", "left":
		m.leave()
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	case "pgup":
		m.move(-m.listRoom())
	case "pgdn":
		m.move(m.listRoom())
	case "home", "g":
		m.move(-1 << 30)
	case "end", "G":
		m.move(1 << 30)
	}
}

// enter looks into the selected forward.
func (m *Model) enter() {
	rows := m.rows()
	if m.inside != "" || len(rows) == 0 {
		return
	}
	m.selected = rows[m.position(rows)].Label
	m.inside, m.filter, m.scroll = m.selected, "", 0
}

// leave forgets the filter, if there is one, or goes back to the list.
func (m *Model) leave() {
	if m.filter != "" {
		m.filter = ""
		return
	}
	m.inside, m.scroll = "", 0
}

// move selects another forward, or scrolls through the flows of one.
func (m *Model) move(by int) {
	if m.inside != "" {
		m.scroll += by
		return
	}
	if rows := m.rows(); len(rows) > 0 {
		m.selected = rows[min(max(0, m.position(rows)+by), len(rows)-1)].Label
	}
}
