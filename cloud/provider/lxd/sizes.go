package lxd

import (
	"context"
	"fmt"
	"strconv"

	"griddle/cloud/provider"
)

// Sizes are those of every LXD: limits of containers, since it has none with names of its own.
func Sizes() []provider.Size {
	const gib = 1 << 30
	return []provider.Size{
		{Name: "tiny", CPUs: 1, Memory: gib / 2},
		{Name: "small", CPUs: 1, Memory: gib},
		{Name: "medium", CPUs: 2, Memory: 2 * gib},
		{Name: "large", CPUs: 4, Memory: 8 * gib},
		{Name: "xlarge", CPUs: 8, Memory: 16 * gib},
	}
}

// Sizes implements provider.Provider.
func (p *Provider) Sizes(ctx context.Context) ([]provider.Size, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("listing sizes: %w", err)
	}
	return Sizes(), nil
}

// limits are the configuration keys of a size.
func limits(name string) (map[string]string, error) {
	for _, s := range Sizes() {
		if s.Name == name {
			return map[string]string{"limits.cpu": strconv.Itoa(s.CPUs),
				"limits.memory": strconv.FormatInt(s.Memory>>20, 10) + "MiB"}, nil
		}
	}
	return nil, fmt.Errorf("there is no size %q: %w", name, provider.ErrInvalid)
}
