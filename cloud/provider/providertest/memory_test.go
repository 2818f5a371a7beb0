package providertest_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"griddle/cloud/provider"
	"griddle/cloud/provider/providertest"
)

func TestMemory(t *testing.T) {
	for _, c := range []struct {
		name string
		m    *providertest.Memory
	}{
		{"at once", &providertest.Memory{}},
		{"in steps", &providertest.Memory{Steps: 2}},
		{"tree", &providertest.Memory{About: provider.Features{Name: "m", Format: provider.Tree, UserData: 1 << 16,
			Lacks: map[provider.Kind]string{
				provider.KindAddress: "it has none", provider.KindVolume: "it has none",
				provider.KindKey: "cloud-init does that", provider.KindFirewall: "it has none"}}}},
		{"qcow2", &providertest.Memory{About: provider.Features{Name: "m", Format: provider.QCOW2, UserData: 1 << 16}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			providertest.Run(t, providertest.Options{
				Open:      func(*testing.T) provider.Provider { return c.m },
				Processes: true,
				Rules: func(_ *testing.T, r provider.Resource) []provider.Rule {
					return c.m.Rules(r.Stack, r.Name)
				},
				Foreign: func(t *testing.T, kind provider.Kind, stack, name string) (string, func() bool) {
					id := c.m.Foreign(kind, stack, name)
					return id, func() bool {
						for _, r := range c.m.All() {
							if r.ID == id {
								return true
							}
						}
						return false
					}
				},
			})
		})
	}
}

func TestMemoryFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := &provider.Volume{Stack: "demo", Name: "data", Size: 1 << 30}
		m := &providertest.Memory{After: providertest.FailCall(0, providertest.Status(500))}
		if _, err := m.Ensure(ctx, w); !errors.Is(err, provider.ErrTemporary) {
			t.Errorf("a lost answer = %v, want ErrTemporary", err)
		}
		if r, err := m.Ensure(ctx, w); err != nil || r.State != provider.Ready ||
			m.Made(provider.KindVolume, "demo", "data") != 1 {
			t.Errorf("after a lost answer %+v, %v, made %d times", r, err, m.Made(provider.KindVolume, "demo", "data"))
		}
		m.Quota = map[provider.Kind]int{provider.KindVolume: 1}
		w2 := *w
		w2.Name = "more"
		if _, err := m.Ensure(ctx, &w2); !errors.Is(err, provider.ErrQuota) {
			t.Errorf("beyond the quota = %v, want ErrQuota", err)
		}
		if !m.Delete(provider.KindVolume, "demo", "data") || m.Delete(provider.KindVolume, "demo", "data") {
			t.Error("a volume could not be deleted, or twice")
		}
		m.Before = providertest.FailCall(len(m.Calls()), provider.ErrCredentials)
		if _, err := m.List(ctx, "demo"); !errors.Is(err, provider.ErrCredentials) {
			t.Errorf("List = %v, want ErrCredentials", err)
		}
		if all, err := m.List(ctx, "demo"); err != nil || len(all) != 0 {
			t.Errorf("List = %v, %v", all, err)
		}
	})
}
