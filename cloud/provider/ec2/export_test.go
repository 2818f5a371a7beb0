package ec2

// SetWave has an upload write down how far it is after so many blocks.
func (p *Provider) SetWave(blocks int) { p.wave = blocks }

// Classify is classify, for its table.
func Classify(code string, status int) error { return classify(code, status) }
