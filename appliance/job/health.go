package job

import (
	"fmt"
	"strings"
)

// The values of Health.State.
const (
	Healthy       = "ok"      // the disk says that it is well
	Failing       = "failing" // the disk says that it fails
	UnknownHealth = "unknown" // it was asked, and did not answer
)

// Health is what a disk says of itself: by SMART, or by the health log of NVMe.
type Health struct {
	State string `json:"state"`
	// Reason is in words why it fails, or what a person should know of a disk that is well; or "".
	Reason      string `json:"reason,omitempty"`
	Hours       int64  `json:"hours,omitempty"`       // with power on; 0 if not known
	Celsius     int    `json:"celsius,omitempty"`     // 0 if not known
	Used        int    `json:"used,omitempty"`        // percent of the writes that it is made for; may be above 100
	Reallocated int64  `json:"reallocated,omitempty"` // bad sectors that the disk replaced
}

// Warning says in words what is wrong with the disk, "" for nothing. It does not warn of a disk that did not answer:
// many controllers do not pass such a question on.
func (h *Health) Warning() string {
	switch {
	case h == nil:
	case h.State == Failing && h.Reason == "":
		return "the disk says that it is failing"
	case h.State == Failing:
		return "the disk says that it is failing: " + Sentence(h.Reason)
	case h.State == Healthy && h.Reason != "":
		return "the disk says: " + Sentence(h.Reason)
	}
	return ""
}

// String says how the disk is, in a few words for people; "" if nothing is known.
func (h *Health) String() string {
	if h == nil || h.State != Healthy && h.State != Failing {
		return ""
	}
	parts := []string{"healthy"}
	if h.State == Failing {
		parts[0] = "FAILING"
	}
	if h.Hours > 0 {
		parts = append(parts, fmt.Sprintf("%d hours with power on", h.Hours))
	}
	if h.Celsius > 0 {
		parts = append(parts, fmt.Sprintf("%d °C", h.Celsius))
	}
	if h.Used > 0 {
		parts = append(parts, fmt.Sprintf("%d %% worn", h.Used))
	}
	return strings.Join(parts, ", ")
}

func (h *Health) bounded() *Health {
	if h == nil {
		return nil
	}
	b := *h
	b.State, b.Reason = clipAt(b.State, maxWord), clip(b.Reason)
	return &b
}
