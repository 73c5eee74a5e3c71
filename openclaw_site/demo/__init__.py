"""The main job, played by real clients: from a partner's upload to a live, measured prediction."""
