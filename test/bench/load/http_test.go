// SPDX-License-Identifier: Apache-2.0

package load

import "testing"

func TestParseRequest(t *testing.T) {
	for _, c := range []struct {
		text string
		want request
	}{
		{"GET /128 HTTP/1.1\r\nHost: bench\r\n\r\n", request{size: 128, head: 34}},
		{"GET /0 HTTP/1.0\r\n\r\n", request{close: true, head: 19}},
		{"PUT /7 HTTP/1.1\r\n\r\n1234567", request{put: true, size: 7, head: 19}},
	} {
		got, err := parseRequest([]byte(c.text))
		if err != nil || got != c.want {
			t.Errorf("parseRequest(%q) = %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", "GET /128 HTTP/1.1\r\n", "GET /x HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"} {
		if got, err := parseRequest([]byte(text)); err == nil {
			t.Errorf("parseRequest(%q) = %+v, want an error", text, got)
		}
	}
}

func TestAnswerSize(t *testing.T) {
	answer := append(appendAnswer(nil, 5), "12345"...)
	for _, part := range [][]byte{answer, answer[:len(answer)-5]} {
		if got, err := answerSize(part); err != nil || got != len(answer) {
			t.Errorf("answerSize(%q) = %d, %v; want %d", part, got, err, len(answer))
		}
	}
	for _, text := range []string{"", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\n1"} {
		if got, err := answerSize([]byte(text)); err == nil {
			t.Errorf("answerSize(%q) = %d, want an error", text, got)
		}
	}
}
