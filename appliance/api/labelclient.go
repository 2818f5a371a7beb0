package api

import "context"

// Label changes what operators wrote about machines, of all or of none, and returns their names, sorted.
func (c *Client) Label(ctx context.Context, in Labels) (names []string, err error) {
	err = c.made.LabelMachines(ctx, in, &names)
	return names, err
}

// Retire takes it out of use.
func (c *Client) Retire(ctx context.Context, key string) (out Machine, err error) {
	err = c.made.RetireMachine(ctx, key, &out)
	return out, err
}

// Reuse takes it back into use.
func (c *Client) Reuse(ctx context.Context, key string) (out Machine, err error) {
	err = c.made.ReuseMachine(ctx, key, &out)
	return out, err
}

// Replace gives its place to the computer that with names, and returns that.
func (c *Client) Replace(ctx context.Context, key, with string) (out Machine, err error) {
	err = c.made.ReplaceMachine(ctx, key, Replace{With: with}, &out)
	return out, err
}

// Groups lists all groups.
func (c *Client) Groups(ctx context.Context) (out Groups, err error) {
	err = c.made.ListGroups(ctx, &out)
	return out, err
}

// Group returns a group with its settings.
func (c *Client) Group(ctx context.Context, name string) (out Group, err error) {
	err = c.made.GetGroup(ctx, name, &out)
	return out, err
}

// MakeGroup makes a group.
func (c *Client) MakeGroup(ctx context.Context, name string, in GroupChange) (out Group, err error) {
	err = c.made.MakeGroup(ctx, name, in, &out)
	return out, err
}

// ChangeGroup changes one.
func (c *Client) ChangeGroup(ctx context.Context, name string, in GroupChange) (out Group, err error) {
	err = c.made.ChangeGroup(ctx, name, in, &out)
	return out, err
}

// DeleteGroup deletes one that no machine is in.
func (c *Client) DeleteGroup(ctx context.Context, name string) error {
	return c.made.DeleteGroup(ctx, name, nil)
}
