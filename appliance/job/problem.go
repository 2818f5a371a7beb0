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
	}
	return p
}

// Error is the detail, or the status if there is no detail.
func (p *Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
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
