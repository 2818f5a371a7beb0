package sender

import (
	"time"

	"griddle/imagestore/multicast"
)

// congested is a loss that may mean that the rate is too high.
const congested = 0.10

// rateControl finds the rate that the median receiver can take. Loss alone does not show that the rate is too high: a
// bad cable loses 5 % at any rate, and parity mends that. So a lower rate is tried; if the loss stays the same, the
// rate was not the cause.
type rateControl struct {
	ceiling    float64 // payload bytes a second; the rate is never higher
	rate       float64
	baseLoss   float64 // loss that the rate does not cause
	triedLoss  float64 // the loss before the rate was lowered, while the lower rate is on trial; else 0
	rateBefore float64 // the rate then
	knownRate  float64 // what was delivered when the rate was too high; near it the rate rises slowly
	settledAt  time.Duration
}

// update takes the median of about a second, at each tick. It says whether the rate changed, so that older
// measurements do not count.
func (a *rateControl) update(now time.Duration, m sample) bool {
	if a.rate == 0 || a.rate > a.ceiling {
		a.rate = a.ceiling
	}
	if !m.ok || now < a.settledAt || m.sent < a.rate/4 {
		return false // too little was sent to judge the rate
	}
	switch {
	case a.triedLoss > 0 && m.loss > 0.7*a.triedLoss:
		a.baseLoss, a.rate, a.triedLoss = m.loss, min(a.rateBefore, a.ceiling), 0
	case m.loss > a.baseLoss+congested:
		a.triedLoss, a.rateBefore, a.knownRate = m.loss, a.rate, m.delivered
		a.rate = max(0.97*m.delivered, a.ceiling/64, multicast.MinRate)
	case a.triedLoss > 0 && a.knownRate < a.rateBefore/64:
		// Nothing came at all before, and now something does: the network was gone and is back. The
		// rate was not the cause.
		a.rate, a.triedLoss = min(a.rateBefore, a.ceiling), 0
	default:
		a.triedLoss = 0
		a.baseLoss = min(a.baseLoss, m.loss)
		step := 1.01
		switch {
		case a.knownRate > 0 && a.rate > 0.95*a.knownRate && a.rate < 1.1*a.knownRate:
			step = 1.002
		case a.rate < 0.7*a.knownRate:
			step = 1.03
		}
		a.rate = min(a.rate*step, a.ceiling)
		return false
	}
	// Datagrams under way were sent at the former rate.
	a.settledAt = now + 200*time.Millisecond
	return true
}
