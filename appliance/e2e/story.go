package e2e

import (
	"context"

	"griddle/imagestore"
)

// ExtraPackage is what the container's second version has more than its first. It depends on nothing that the template
// does not have.
const ExtraPackage = "less"

// PublishTwice publishes a new container, installs one more package into it, and publishes it again.
func (s *Site) PublishTwice(ctx context.Context, c *Container) ([]imagestore.Published, error) {
	first, err := s.Publish(ctx, c, ContainerName)
	if err != nil {
		return nil, err
	}
	if err := c.Install(ctx, ExtraPackage); err != nil {
		return nil, err
	}
	second, err := s.Publish(ctx, c, ContainerName)
	if err != nil {
		return nil, err
	}
	return []imagestore.Published{first, second}, nil
}
