package netboot

import "sync/atomic"

type counter = atomic.Uint64

// Counters are counted from the start of the server.
type Counters struct {
	// DHCP datagrams: all, not a request, without an answer, replies, replies that could not be sent.
	DHCPReceived, DHCPMalformed, DHCPIgnored, DHCPAnswered, DHCPSendFailed uint64
	// DHCPDropped are datagrams that the kernel dropped because they arrived faster than the server reads.
	DHCPDropped uint64
	// TFTP transfers by their end, and the bytes of the complete ones.
	TFTPSent, TFTPBytes, TFTPAborted, TFTPFailed, TFTPRefused, TFTPNotFound, TFTPMalformed uint64
	// Boot scripts sent, those of them that only show an error, and malformed requests for one.
	Scripts, ScriptErrors, ScriptsMalformed uint64
	// Router solicitations: all, malformed, answered.
	Solicitations, SolicitationsMalformed, Advertisements uint64
}

// Counters reads the counters, one after the other.
func (s *Server) Counters() Counters {
	d, t := &s.dhcp.Counters, &s.tftp.Counters
	return Counters{
		DHCPReceived: d.Received.Load(), DHCPMalformed: d.Malformed.Load(), DHCPIgnored: d.Ignored.Load(),
		DHCPAnswered: d.Answered.Load(), DHCPSendFailed: d.SendFailed.Load(), DHCPDropped: d.Dropped.Load(),
		TFTPSent: t.Sent.Load(), TFTPBytes: t.Bytes.Load(), TFTPAborted: t.Aborted.Load(), TFTPFailed: t.Failed.Load(),
		TFTPRefused: t.Refused.Load(), TFTPNotFound: t.NotFound.Load(), TFTPMalformed: t.Malformed.Load(),
		Scripts: s.scripts.Load(), ScriptErrors: s.scriptErr.Load(), ScriptsMalformed: s.badScripts.Load(),
		Solicitations: s.routes.heard.Load(), SolicitationsMalformed: s.routes.malformed.Load(),
		Advertisements: s.routes.answered.Load(),
	}
}
