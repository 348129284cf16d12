// SPDX-License-Identifier: Apache-2.0

// Package top is a live view of forwards in a terminal. A Model is what is shown and
// where the user is in it; it knows keys and lines of text, and no terminal. Run gives
// it samples of a dataplane and a screen.
package top
