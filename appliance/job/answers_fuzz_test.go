package job

import (
	"encoding/json"
	"strings"
	"testing"
)

// Whatever a server answers, nothing but a sentence comes of it; and what counts as a record is a JSON object.
func FuzzAnswers(f *testing.F) {
	f.Add(409, []byte(`{"status":1,"detail":"no\u0007","mistakes":[{"machine":"a","text":"b"}]}`))
	f.Add(0, []byte(" {\"step\":1}"))
	f.Add(500, []byte(`[{}]`))
	f.Fuzz(func(t *testing.T, status int, b []byte) {
		p := ReadProblem(status, b)
		if s := p.Error(); s == "" || strings.ContainsAny(s, "\x00\x07\x1b") {
			t.Errorf("the answer is %q", s)
		}
		var object map[string]json.RawMessage
		if err := CheckRecord(b); err == nil && json.Unmarshal(b, &object) != nil {
			t.Errorf("%q counts as a record", b)
		}
	})
}
