package job

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestRecords: a record travels as it is, records come in pages, and a server that answers nonsense is an error.
func TestRecords(t *testing.T) {
	var got []string
	pages := map[string]string{}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, fmt.Sprintf("%s %s %s", r.Method, r.URL.RequestURI(), body))
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		io.WriteString(w, pages[r.URL.Query().Get("after")])
	})
	if err := c.Record(t.Context(), "a/b", json.RawMessage(`{"x": "<"}`)); err != nil {
		t.Fatal(err)
	}
	if want := `POST /v1/agent/records/a%2Fb {"x": "<"}`; got[0] != want {
		t.Errorf("the server heard %s, want %s", got[0], want)
	}
	pages["0"], pages["2"] = `{"records":[{"a": 1},{"b":"<"}],"next":2}`, `{"records":[{}],"next":0}`
	all, err := c.Records(t.Context(), "id")
	if err != nil || fmt.Sprintf("%s", all) != `[{"a": 1} {"b":"<"} {}]` {
		t.Errorf("Records() = %s, %v", all, err)
	}
	for name, first := range map[string]string{
		"no progress": `{"records":[],"next":0}{`, "none, and more": `{"records":[],"next":5}`,
		"a gap": `{"records":[{}],"next":5}`, "backwards": `{"records":[{},{}],"next":-1}`,
		"too many": `{"records":[` + strings.Repeat(`1,`, MaxRecords) + `1],"next":0}`,
	} {
		pages["0"] = first
		if all, err := c.Records(t.Context(), "id"); err == nil || all != nil {
			t.Errorf("%s: Records() has %d, %v", name, len(all), err)
		}
	}
	heard := len(got)
	for _, bad := range []string{"", "null", "[]", `{"a"`, `{} {}`, `{"x":"` + strings.Repeat("x", MaxRecord) + `"}`} {
		if err := c.Record(t.Context(), "id", json.RawMessage(bad)); err == nil {
			t.Errorf("Record(%.20s) succeeded", bad)
		}
	}
	if len(got) != heard {
		t.Errorf("the server heard of %d records that are none", len(got)-heard)
	}
}
