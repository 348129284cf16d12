// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"time"
)

//go:embed static
var static embed.FS

// contentTypes are not left to the MIME types of the machine.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// addFiles makes mux answer with the files that are a part of the program. The page
// knows by the version when that of the server has become another.
func addFiles(mux *http.ServeMux, version string) error {
	files, err := static.ReadDir("static")
	if err != nil {
		return err
	}
	for _, f := range files {
		content, err := static.ReadFile(path.Join("static", f.Name()))
		if err != nil {
			return err
		}
		pattern := "GET /page/" + f.Name()
		if f.Name() == "index.html" {
			pattern = "GET /{$}"
			if content, err = withVersion(content, version); err != nil {
				return err
			}
		}
		mux.Handle(pattern, file(f.Name(), content))
	}
	return nil
}

// withVersion is the page with the version of the program in it.
func withVersion(page []byte, version string) ([]byte, error) {
	t, err := template.New("page").Parse(string(page))
	if err != nil {
		return nil, err
	}
	var filled bytes.Buffer
	err = t.Execute(&filled, struct{ Version string }{version})
	return filled.Bytes(), err
}

// file answers with a file, or that it is still the same: browsers ask each time,
// lest they mix two versions.
func file(name string, content []byte) http.Handler {
	tag := fmt.Sprintf(`"%.16x"`, sha256.Sum256(content))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Type", contentTypes[path.Ext(name)])
		header.Set("Cache-Control", "no-cache")
		header.Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}
