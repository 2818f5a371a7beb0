package cloud

import (
	"context"
	"fmt"
	"slices"

	"griddle/cloud/plan"
	"griddle/cloud/stack"
	"griddle/cloud/state"
)

// UserData is what a server of the stack gets, as it would be made now; references to secrets and secret outputs, and
// to outputs that were not read yet, stay as they are written.
func (c *Cloud) UserData(ctx context.Context, s *stack.Stack, server string) ([]byte, error) {
	st, err := c.stateOrNew(s.Name)
	if err != nil {
		return nil, err
	}
	all, err := plan.Scaled(s, st.Scale)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all.Servers, func(v stack.Server) bool { return v.Name == server })
	if i < 0 {
		return nil, fmt.Errorf("stack %s has no server %s", s.Name, server)
	}
	private, err := plan.Addresses(all, st.Servers, nil)
	if err != nil {
		return nil, err
	}
	r := &run{c: c, s: all, rec: state.NewRecord(state.Directory{}, st), plan: &plan.Plan{Addresses: private}}
	return c.Render(all.Servers[i], func(ref stack.Reference) (string, error) {
		if ref.Kind == "secret" || ref.Field == "outputs" && !r.plainOutput(ref) {
			return ref.String(), nil
		}
		return r.value(all.Servers[i], ref)
	})
}

// plainOutput says whether the output is known, and no secret.
func (r *run) plainOutput(ref stack.Reference) bool {
	for _, role := range r.s.Roles {
		for _, o := range role.Outputs {
			if role.Name == ref.Name && o.Name == ref.Output && o.Secret {
				return false
			}
		}
	}
	_, known := r.rec.Output(ref.Name, ref.Output)
	return known
}
