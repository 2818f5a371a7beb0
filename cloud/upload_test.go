package cloud

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"griddle/cloud/provider"
	"griddle/cloud/provider/providertest"
)

// TestUpload has a provider that takes its time, and one whose answers are lost, take an image once; and withdraws it.
func TestUpload(t *testing.T) {
	for name, after := range map[string]bool{"before its work": false, "after its work": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &providertest.Memory{Steps: 2}
				hook := providertest.FailCall(0, providertest.Status(503))
				if after {
					m.After = hook
				} else {
					m.Before = hook
				}
				image := providertest.Blank(m.Features().Format, 1)
				for range 2 {
					r, err := Upload(t.Context(), m, image)
					if err != nil || r.State != provider.Ready || r.Digest != image.Digest {
						t.Fatalf("Upload = %+v, %v", r, err)
					}
				}
				if n := m.Made(provider.KindImage, "", image.Name); n != 1 {
					t.Errorf("it was made %d times", n)
				}
				for range 2 { // the second finds nothing
					if err := Withdraw(t.Context(), m, image.Name); err != nil {
						t.Fatal(err)
					}
				}
				for _, r := range m.All() {
					if r.State != provider.Removing {
						t.Errorf("left: %+v", r)
					}
				}
			})
		})
	}
	m := &providertest.Memory{Before: func(context.Context, providertest.Call) error { return provider.ErrQuota }}
	if _, err := Upload(t.Context(), m,
		providertest.Blank(m.Features().Format, 1)); !errors.Is(err, provider.ErrQuota) {
		t.Errorf("beyond the quota Upload = %v", err)
	}
	if err := Withdraw(t.Context(), m, "blank"); !errors.Is(err, provider.ErrQuota) {
		t.Errorf("of a provider that answers nothing Withdraw = %v", err)
	}
}
