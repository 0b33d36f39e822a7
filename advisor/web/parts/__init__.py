"""The parts of the page that asks: one module a part of the scenario."""
