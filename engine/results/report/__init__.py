"""An experiment as one HTML file that opens offline: verdict, charts, tables, pictures, config."""
