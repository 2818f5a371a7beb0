package head

import (
	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
)

func siteTrust(k *minisign.SecretKey) *document.Trust {
	t := &document.Trust{}
	t.Allow(document.SiteGrant(k.Public()))
	return t
}
