package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// Problem is how the appliance says no (RFC 9457 section 3). Detail is for people and says what to do where
// something can be done.
type Problem struct {
	Type   string `json:"type"` // "about:blank": the status says it all
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// NewProblem makes a problem of an HTTP status and a sentence.
func NewProblem(status int, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// ReadProblem makes an error of a reply whose status is not a good one. A body that is no problem document is ignored.
func ReadProblem(status int, body []byte) *Problem {
	p := NewProblem(status, "")
	var got Problem
	if json.Unmarshal(body, &got) == nil {
		p.Detail = Sentence(got.Detail)
	}
	return p
}

// Error is the detail, or the status where there is none.
func (p *Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	return fmt.Sprintf("the appliance answered %d %s", p.Status, p.Title)
}

// Retryable says whether the same request may succeed later: the network or the appliance was at fault, not the request.
func Retryable(err error) bool {
	var p *Problem
	if errors.As(err, &p) {
		return p.Status >= 500 || p.Status == http.StatusTooManyRequests || p.Status == http.StatusRequestTimeout
	}
	return err != nil
}
