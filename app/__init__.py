"""What the pages share: navigation, charts and widgets."""
