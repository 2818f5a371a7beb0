package e2e

import (
	"context"

	"griddle/imagestore"
)

// ExtraPackage is what the container's second version has more than its first. It depends on nothing that the template
// does not have.
const ExtraPackage = "less"

// PublishTwice makes the container, publishes it, installs one more package into it, and publishes it again. The site that
// it returns is not started.
func PublishTwice(ctx context.Context, r *Room, mode Mode) (*Site, []imagestore.Published, error) {
	c, err := r.Container(ctx)
	if err != nil {
		return nil, nil, err
	}
	site := r.Site(mode)
	first, err := site.Publish(ctx, c, ContainerName)
	if err != nil {
		return nil, nil, err
	}
	if err := c.Install(ctx, ExtraPackage); err != nil {
		return nil, nil, err
	}
	second, err := site.Publish(ctx, c, ContainerName)
	if err != nil {
		return nil, nil, err
	}
	return site, []imagestore.Published{first, second}, nil
}
