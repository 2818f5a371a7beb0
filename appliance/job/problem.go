package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// Problem is how the server reports an error (RFC 9457 section 3). Detail is for people and says what to do, if
// something can be done.
type Problem struct {
	Type   string `json:"type"` // "about:blank": the status says it all
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`

	// Mistakes are those of settings, at most MaxMistakes. They quote no secret.
	Mistakes []Mistake `json:"mistakes,omitempty"`
}

// Mistake is one thing that is wrong in the settings of a machine.
type Mistake struct {
	Machine string `json:"machine,omitempty"` // as the request names it
	Place   string `json:"place,omitempty"`   // such as users[ada].keys[0]; "" for the document itself
	Text    string `json:"text"`              // what is wrong, and what to do
	From    string `json:"from,omitempty"`    // the document that has the value: "site", "image web:1@amd64"
}

// MaxMistakes is how many mistakes a problem has at most.
const MaxMistakes = 1000

// String is MACHINE: PLACE: what is wrong.
func (m Mistake) String() string {
	out := m.Text
	for _, where := range []string{m.Place, m.Machine} {
		if where != "" {
			out = where + ": " + out
		}
	}
	if m.From != "" {
		out += " (" + m.From + ")"
	}
	return out
}

// NewProblem makes a problem from an HTTP status and a sentence.
func NewProblem(status int, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// ReadProblem makes an error from a reply with an error status. It ignores a body that is not a problem document.
func ReadProblem(status int, body []byte) *Problem {
	p := NewProblem(status, "")
	var got Problem
	if json.Unmarshal(body, &got) == nil {
		p.Detail = Sentence(got.Detail)
		for _, m := range got.Mistakes[:min(len(got.Mistakes), MaxMistakes)] {
			p.Mistakes = append(p.Mistakes, Mistake{Sentence(m.Machine), Sentence(m.Place), Sentence(m.Text),
				Sentence(m.From)})
		}
	}
	return p
}

// Error is the detail, or the status if there is no detail. Each mistake is on a line of its own.
func (p *Problem) Error() string {
	if p.Detail != "" {
		out := p.Detail
		for _, m := range p.Mistakes {
			out += "\n" + m.String()
		}
		return out
	}
	return fmt.Sprintf("the server answered %d %s", p.Status, p.Title)
}

// Retryable says whether the same request may succeed later: the cause is the network or the server, not the request.
func Retryable(err error) bool {
	var p *Problem
	if errors.As(err, &p) {
		return p.Status >= 500 || p.Status == http.StatusTooManyRequests || p.Status == http.StatusRequestTimeout
	}
	return err != nil
}
