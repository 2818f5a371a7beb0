package powercut

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/pool/history"
)

// line is what a probe prints that found this.
func line(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	fmt.Fprint(z, text)
	z.Close()
	return "POWERCUT " + base64.StdEncoding.EncodeToString(b.Bytes()) + " ."
}

func found(t *testing.T, files map[string]string) string {
	t.Helper()
	env, err := bootenv.Env{Good: "web-1@amd64"}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := "root /@roots/web-1@amd64\nboot b-1\nhome aa\npersistent bb\nidentity cc\nfailed \n" +
		"roots web-1@amd64 web-2@amd64\n"
	all := map[string]string{"grubenv": string(env)}
	for name, content := range files {
		all[name] = content
	}
	for name, content := range all {
		text += name + " " + base64.StdEncoding.EncodeToString([]byte(content)) + "\n"
	}
	return text + "end\n"
}

func TestParse(t *testing.T) {
	got, err := Parse("[   12.3] " + line(found(t, map[string]string{
		"history.jsonl": `{"time":"2026-11-29T10:00:00Z","kind":"blessed","root":"web-1@amd64"}` + "\n",
		"update.json":   `{"job":"j","root":"web-2@amd64","state":"switched"}`,
		"order.json":    `{"spec":{"id":"j"}}`,
	})))
	if err != nil {
		t.Fatal(err)
	}
	if got.Root != "web-1@amd64" || got.Boot != "b-1" || got.Data["persistent"] != "bb" || got.Failed != "" ||
		len(got.Roots) != 2 || got.Env != (bootenv.Env{Good: "web-1@amd64"}) || !got.Ordered ||
		got.Result == nil || got.Result.Root != "web-2@amd64" ||
		len(got.History) != 1 || got.History[0].Kind != history.Blessed {
		t.Errorf("Parse = %+v", got)
	}
	if text := got.String(); !strings.Contains(text, "\thome: aa\n") {
		t.Errorf("it prints as %q", text)
	}
}

// A file that is not whole is an error, and so is a line that is not.
func TestParseTorn(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"a line of the history", line(found(t, map[string]string{"history.jsonl": `{"time":"20`})), "is not whole"},
		{"the result", line(found(t, map[string]string{"update.json": `{"job":`})), "update.json is not whole"},
		{"the order", line(found(t, map[string]string{"order.json": ""})), "order.json is not whole"},
		{"both copies of grubenv", line(found(t, map[string]string{"grubenv": "#"})), "environment block"},
		{"no end", line("root /@roots/a\n"), "EOF"},
		{"not base64", "POWERCUT [ 12.0] kernel .", "base64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse(tt.line); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v, want an error with %q", err, tt.want)
			}
		})
	}
}
